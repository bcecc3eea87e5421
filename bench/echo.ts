/**
 * The ping of iputils, and UDP that is returned, against four hosts: the least C over a TUN, the least JavaScript over the project's driver,
 * tunstack over the same driver, and the kernel over veth. Each in a process of its own per round, warmed up.
 */
import { type Namespace, Testbed } from '../test/integration/netns.ts'
import type { Benchmark, Plan } from './benchmark.ts'
import { type Figure, type Figures, record } from './figure.ts'
import { flood, paced } from './ping.ts'
import { between, program, Responder } from './responder.ts'

const C = 'C responder'
const JS = 'JavaScript responder'
const STACK = 'tunstack'
const KERNEL = 'kernel, veth'

/** UDP datagrams under way. */
const WINDOW = 64

/** Bursts of so many requests in the flood that is about bursts. */
const PRELOAD = 32

interface Subject {
  name: string
  address: string
  /** `null`: the kernel itself answers. */
  command: string[] | null
}

interface Sizes {
  warmUp: number
  flood: number
  preloaded: number
  paced: number
  /** Seconds. */
  udp: number
}

const FULL: Sizes = { warmUp: 5000, flood: 20_000, preloaded: 100_000, paced: 300, udp: 1 }
const QUICK: Sizes = { warmUp: 200, flood: 500, preloaded: 1000, paced: 20, udp: 0.1 }

export const echo: Benchmark = {
  name: 'echo',
  needsRoot: true,
  async run(figures, plan) {
    const bed = new Testbed()
    try {
      await measure(bed, defineFigures(figures), plan)
    } finally {
      await bed.undo()
    }
  },
}

type EchoFigures = ReturnType<typeof defineFigures>

function defineFigures(figures: Figures) {
  const stack = (reference: string, ratio?: number, is: 'at least' | 'at most' = 'at least') => ({
    subject: STACK,
    reference,
    ...(ratio === undefined ? {} : { target: { ratio, is } }),
  })
  return {
    rate: figures.define('ping -f', 'packets/s', [stack(C, 0.8), stack(JS), stack(KERNEL)]),
    loss: figures.define('ping -f, lost', 'packets'),
    floodMin: figures.define('ping -f, shortest round trip', 'µs', [stack(C), stack(JS)]),
    floodAvg: figures.define('ping -f, mean round trip', 'µs', [stack(C), stack(JS)]),
    floodCpu: figures.define('ping -f, CPU of the responder', 'µs/packet', [stack(C), stack(JS)]),
    floodBurst: figures.define('ping -f, packets per read call', 'packets'),
    p50: figures.define('ping -i 0.01, median round trip', 'µs', [
      stack(JS, 1.25, 'at most'),
      stack(C),
      stack(KERNEL),
    ]),
    avg: figures.define('ping -i 0.01, mean round trip', 'µs', [stack(JS), stack(C)]),
    min: figures.define('ping -i 0.01, shortest round trip', 'µs', [stack(JS), stack(C)]),
    preRate: figures.define(`ping -f -l ${PRELOAD}`, 'packets/s', [stack(C), stack(JS), stack(KERNEL)]),
    preLoss: figures.define(`ping -f -l ${PRELOAD}, lost`, 'packets'),
    preCpu: figures.define(`ping -f -l ${PRELOAD}, CPU of the responder`, 'µs/packet', [stack(C), stack(JS)]),
    udpRate: figures.define(`UDP of 64 bytes returned, ${WINDOW} under way`, 'packets/s', [
      stack(JS, 0.8),
      stack(C),
    ]),
    udpCpu: figures.define(`UDP of 64 bytes returned, ${WINDOW} under way, CPU`, 'µs/packet', [
      stack(JS),
      stack(C),
    ]),
    preBurst: figures.define(`ping -f -l ${PRELOAD}, packets per read call`, 'packets'),
  }
}

async function measure(bed: Testbed, figures: EchoFigures, plan: Plan): Promise<void> {
  const host = bed.namespace('bench')
  const remote = bed.namespace('bench-peer')
  const subjects: Subject[] = [
    { name: C, address: '10.77.1.2', command: program('echo.c', ['tun1']) },
    { name: JS, address: '10.77.2.2', command: program('js-responder.ts', ['tun2']) },
    {
      name: STACK,
      address: '10.77.3.2',
      command: program('stack-responder.ts', ['tun3', '10.77.3.2/24'], plan.nodeOptions),
    },
    { name: KERNEL, address: '10.77.4.2', command: null },
  ]
  for (const i of [1, 2, 3]) host.addTun(`tun${i}`, { address: `10.77.${i}.1/24` })
  bed.veth(
    { namespace: host, device: 'veth0', address: '10.77.4.1/24' },
    { namespace: remote, device: 'veth0', address: '10.77.4.2/24' },
  )
  for (let round = 1; round <= plan.rounds; round++) {
    for (const subject of subjects) {
      plan.progress(`echo ${round}/${plan.rounds}: ${subject.name}`)
      await measureSubject(host, subject, figures, plan.quick ? QUICK : FULL)
    }
  }
}

async function measureSubject(
  host: Namespace,
  subject: Subject,
  figures: EchoFigures,
  sizes: Sizes,
): Promise<void> {
  const { name, address, command } = subject
  const responder = command === null ? null : await Responder.start(host, command)
  await flood(host, address, sizes.warmUp, PRELOAD)
  await flood(host, address, sizes.warmUp)

  const floodOnce = async (
    rate: Figure,
    loss: Figure,
    cpu: Figure,
    burst: Figure,
    count: number,
    preload: number,
  ) => {
    const before = await responder?.stats()
    const run = await flood(host, address, count, preload)
    const after = await responder?.stats()
    record(rate, name, (run.received * 1000) / run.duration)
    record(loss, name, run.sent - run.received)
    if (before !== undefined && after !== undefined) {
      const { packets, reads, cpu: microseconds } = between(before, after)
      record(cpu, name, microseconds / packets)
      record(burst, name, packets / reads)
    }
    return run
  }
  const run = await floodOnce(
    figures.rate,
    figures.loss,
    figures.floodCpu,
    figures.floodBurst,
    sizes.flood,
    1,
  )
  record(figures.floodMin, name, run.min)
  record(figures.floodAvg, name, run.avg)
  const { preRate, preLoss, preCpu, preBurst } = figures
  await floodOnce(preRate, preLoss, preCpu, preBurst, sizes.preloaded, PRELOAD)

  const { min, avg, p50 } = await paced(host, address, sizes.paced)
  record(figures.min, name, min)
  record(figures.avg, name, avg)
  record(figures.p50, name, p50)
  if (responder !== null) await returnDatagrams(host, responder, subject, figures, sizes)
  await responder?.stop()
}

async function returnDatagrams(
  host: Namespace,
  responder: Responder,
  { name, address }: Subject,
  figures: EchoFigures,
  { udp }: Sizes,
): Promise<void> {
  const ask = async (seconds: number): Promise<{ answered: number; seconds: number }> => {
    const command = program('udp-flood.c', ['ask', address, '64', `${seconds}`, `${WINDOW}`])
    const { stdout, stderr } = await host.run(command)
    const match = /^sent (\d+) seconds ([\d.]+)$/m.exec(stdout)
    if (match === null) throw new Error(`UDP was not returned: ${stdout}${stderr}`)
    return { answered: Number(match[1]), seconds: Number(match[2]) }
  }
  await ask(udp / 2)
  const before = await responder.stats()
  const { answered, seconds } = await ask(udp)
  const { cpu } = between(before, await responder.stats())
  record(figures.udpRate, name, answered / seconds)
  record(figures.udpCpu, name, cpu / answered)
}
