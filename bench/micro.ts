/** What single steps cost, without a device: each subject in a fresh process per round. */
import { spawnSync } from 'node:child_process'
import type { Benchmark, Plan } from './benchmark.ts'
import { type Figures, record } from './figure.ts'
import { NODE_OPTIONS } from './micro/memory.ts'
import { program } from './responder.ts'

interface MicroFigure {
  name: string
  unit: string
  /** Subject and case; the first is held against the others. */
  subjects: [subject: string, name: string][]
  nodeOptions?: readonly string[]
}

const MICRO: MicroFigure[] = [
  ...[20, 84, 512, 1500, 65536].map(
    (length): MicroFigure => ({
      name: `checksum of ${length} bytes`,
      unit: 'ns',
      subjects: [
        ['tunstack', `checksum ${length}`],
        ['without vectors', `words ${length}`],
        ['loop over bytes', `byte loop ${length}`],
      ],
    }),
  ),
  {
    name: 'IPv4 + ICMP echo, parse',
    unit: 'ns',
    subjects: [
      ['offsets (hot path)', 'parse hot'],
      ['buffer-layout (cold path)', 'parse cold'],
    ],
  },
  {
    name: 'IPv4 + ICMP echo, emit',
    unit: 'ns',
    subjects: [
      ['offsets (hot path)', 'emit hot'],
      ['buffer-layout (cold path)', 'emit cold'],
    ],
  },
  ...[10, 1000, 100_000].map(
    (count): MicroFigure => ({
      name: `route lookup, ${count.toLocaleString('en-US')} prefixes`,
      unit: 'ns',
      subjects: [
        ['tunstack', `fib ${count}`],
        ['a Map per length', `maps ${count}`],
      ],
    }),
  ),
  {
    name: '64 KB cut into 44 segments, with checksums',
    unit: 'ns',
    subjects: [
      ['tunstack (one copy)', 'segment'],
      ['views of the payload', 'segment views'],
    ],
  },
  {
    name: '44 segments forwarded to a device with TSO',
    unit: 'ns',
    subjects: [
      ['with GRO', 'forward merged'],
      ['without', 'forward each'],
    ],
  },
  { name: 'echo answered, no kernel', unit: 'packets/s', subjects: [['tunstack', 'answered']] },
  { name: 'echo round trip, two stacks on a pipe', unit: 'echoes/s', subjects: [['tunstack', 'over pipe']] },
  { name: 'echo round trip, loopback', unit: 'echoes/s', subjects: [['tunstack', 'over loopback']] },
  { name: 'UDP over loopback, 1000 bytes', unit: 'datagrams/s', subjects: [['tunstack', 'udp datagrams']] },
  { name: 'simulated network: over links', unit: 'packets/s', subjects: [['tunstack', 'simulated packets']] },
  { name: 'simulated network: answered', unit: 'events/s', subjects: [['tunstack', 'simulated events']] },
  { name: 'simulated network: TCP in bulk', unit: 'events/s', subjects: [['tunstack', 'simulated bulk']] },
]

const MEMORY: MicroFigure[] = [
  {
    name: 'allocated per echoed packet',
    unit: 'bytes',
    subjects: [['tunstack', 'bytes per echo']],
    nodeOptions: NODE_OPTIONS,
  },
  {
    name: 'allocated per UDP datagram, sent and received',
    unit: 'bytes',
    subjects: [['tunstack', 'bytes per datagram']],
    nodeOptions: NODE_OPTIONS,
  },
  {
    name: 'allocated per TCP segment, sent, received and acknowledged',
    unit: 'bytes',
    subjects: [['tunstack', 'bytes per segment']],
    nodeOptions: NODE_OPTIONS,
  },
  { name: 'new Stack()', unit: 'KiB', subjects: [['tunstack', 'stack size']], nodeOptions: NODE_OPTIONS },
  {
    name: 'one end of an idle TCP connection',
    unit: 'KiB',
    subjects: [['tunstack', 'connection size']],
    nodeOptions: NODE_OPTIONS,
  },
  {
    name: 'host in a simulated network',
    unit: 'KiB',
    subjects: [['tunstack', 'simulated host']],
    nodeOptions: NODE_OPTIONS,
  },
]

export const micro: Benchmark = benchmark('micro', MICRO)
export const memory: Benchmark = benchmark('memory', MEMORY)

function benchmark(name: string, list: readonly MicroFigure[]): Benchmark {
  return { name, needsRoot: false, run: async (figures, plan) => measure(list, figures, plan) }
}

function measure(list: readonly MicroFigure[], figures: Figures, plan: Plan): void {
  for (const { name, unit, subjects, nodeOptions } of list) {
    const [[first], ...others] = subjects as [[string, string], ...[string, string][]]
    const figure = figures.define(
      name,
      unit,
      others.map(([reference]) => ({ subject: first, reference })),
    )
    plan.progress(name)
    for (let round = 0; round < plan.rounds; round++) {
      for (const [subject, of] of subjects) record(figure, subject, runCase(of, plan, nodeOptions))
    }
  }
}

function runCase(name: string, { quick }: Plan, nodeOptions?: readonly string[]): number {
  const [file, ...args] = program('micro/child.ts', [name, quick ? '10' : '200'], nodeOptions)
  const { status, stdout, stderr } = spawnSync(file!, args, { encoding: 'utf8', timeout: 60_000 })
  if (status !== 0) throw new Error(`'${name}' failed: ${stderr}`)
  return JSON.parse(stdout) as number
}
