/** Simulated networks: how fast time passes in them, and what a host in one weighs. */
import { PacketPool, Stack, seededRandom, VirtualClock } from '../../lib/index.ts'
import { type Host, type Simulation, simulate } from '../../lib/sim/index.ts'
import { collect } from './memory.ts'
import type { Timing } from './timing.ts'

const PORT = 5000
const PAIRS = 8

/** Pairs of hosts on both sides of a router; 20 ms, 100 Mbit/s. */
function network(): { net: Simulation; pairs: [Host, Host][] } {
  const net = simulate({ seed: 1 })
  const addresses = Array.from({ length: PAIRS }, (_, i) => [`10.1.${i}.1/24`, `10.2.${i}.1/24`]).flat()
  const router = net.router(addresses)
  const pairs = Array.from({ length: PAIRS }, (_, i): [Host, Host] => {
    const a = net.host(`10.1.${i}.2/24`)
    const b = net.host(`10.2.${i}.2/24`)
    for (const host of [a, b]) net.link(host, router, { delay: '5ms', rate: '100mbit', queue: 'codel' })
    return [a, b]
  })
  return { net, pairs }
}

/** What `count` has grown by in a second of the machine's time. */
async function perSecond(net: Simulation, count: () => number, { milliseconds }: Timing): Promise<number> {
  const run = async (atLeast: number): Promise<number> => {
    const before = count()
    const start = performance.now()
    let elapsed = 0
    while (elapsed < atLeast) {
      await net.runFor('100ms')
      elapsed = performance.now() - start
    }
    return ((count() - before) / elapsed) * 1000
  }
  await run(milliseconds)
  const rate = await run(milliseconds * 5)
  await net.close()
  return rate
}

const crossed = (net: Simulation): number =>
  net.links.reduce((sum, link) => sum + link.counters().delivered, 0)

/** Packets over a link, in bursts that nobody reacts to. */
export async function packets(timing: Timing): Promise<number> {
  const { net, pairs } = network()
  const data = new Uint8Array(1000)
  const buffer = new Uint8Array(2000)
  for (const [a, b] of pairs) {
    const sender = a.udp.bind()
    sender.connect({ address: b.interface('eth0').addresses[0]!.split('/')[0]!, port: PORT })
    const receiver = b.udp.bind({ port: PORT })
    const send = (): void => {
      while (receiver.receiveInto(buffer) >= 0) {}
      for (let i = 0; i < 32; i++) sender.send(data)
      net.after('5ms', send)
    }
    send()
  }
  return await perSecond(net, () => crossed(net), timing)
}

/** Events where each datagram is answered at once by a program. */
export async function answered(timing: Timing): Promise<number> {
  const { net, pairs } = network()
  for (const [a, b] of pairs) {
    const server = b.udp.bind({
      port: PORT,
      onMessage: ({ data, address, port }) => server.send(data, { address, port }),
    })
    const client = a.udp.bind({ onMessage: ({ data }) => client.send(data) })
    client.connect({ address: b.interface('eth0').addresses[0]!.split('/')[0]!, port: PORT })
    client.send(new Uint8Array(100))
  }
  return await perSecond(net, () => net.events, timing)
}

/** KiB of a host with a link, of a thousand that have each sent and received: heap and array buffers. */
export async function hostSize({ milliseconds }: Timing): Promise<number> {
  const count = milliseconds < 50 ? 50 : 1000
  // What a process needs once is not a host's.
  await new Stack({ clock: new VirtualClock(), random: seededRandom(1), pool: new PacketPool() }).close()
  await build(2)
  collect()
  const before = process.memoryUsage()
  const net = await build(count)
  collect()
  const after = process.memoryUsage()
  if (net.hosts.length !== count) throw new Error('a host is missing')
  return (after.heapUsed - before.heapUsed + after.arrayBuffers - before.arrayBuffers) / count / 1024
}

async function build(count: number): Promise<Simulation> {
  const net = simulate({ seed: 1, record: 0 })
  for (let i = 0; i < count; i += 2) {
    const subnet = `10.${i >> 8}.${i & 255}`
    const a = net.host(`${subnet}.1/24`)
    const b = net.host(`${subnet}.2/24`)
    net.link(a, b, { delay: '1ms' })
    b.udp.bind({ port: PORT })
    a.udp.bind().send(new Uint8Array(100), { address: `${subnet}.2`, port: PORT })
  }
  await net.runUntilIdle()
  return net
}
