/** The micro-benchmarks by name. Each runs in a process of its own, so that none is compiled for another's types. */
import * as checksums from './checksums.ts'
import * as connections from './connections.ts'
import * as datagrams from './datagrams.ts'
import * as echoes from './echoes.ts'
import * as headers from './headers.ts'
import * as lookups from './lookups.ts'
import * as memory from './memory.ts'
import * as offloads from './offloads.ts'
import * as simulation from './simulation.ts'
import type { Timing } from './timing.ts'

export type Case = (timing: Timing) => number | Promise<number>

export const CASES: Readonly<Record<string, Case>> = {
  ...Object.fromEntries(
    [20, 84, 512, 1500, 65536].flatMap((length) => [
      [`checksum ${length}`, checksums.ours(length)],
      [`words ${length}`, checksums.words(length)],
      [`byte loop ${length}`, checksums.byteLoop(length)],
    ]),
  ),
  'parse hot': headers.parseHot,
  'parse cold': headers.parseCold,
  'emit hot': headers.emitHot,
  'emit cold': headers.emitColdTimed,
  ...Object.fromEntries(
    [10, 1000, 100_000].flatMap((count) => [
      [`fib ${count}`, lookups.trie(count)],
      [`maps ${count}`, lookups.maps(count)],
    ]),
  ),
  segment: offloads.segment,
  'segment views': offloads.segmentViews,
  'forward merged': offloads.forwardSegments(true),
  'forward each': offloads.forwardSegments(false),
  answered: echoes.answered,
  'over pipe': echoes.overPipe,
  'over loopback': echoes.overLoopback,
  'bytes per echo': memory.perEcho,
  'stack size': memory.stackSize,
  'udp datagrams': datagrams.perSecond,
  'bytes per datagram': datagrams.allocated,
  'simulated packets': simulation.packets,
  'simulated events': simulation.answered,
  'simulated host': simulation.hostSize,
  'simulated bulk': connections.simulatedBulk,
  'connection size': connections.connectionSize,
  'bytes per segment': connections.allocatedPerSegment,
}
