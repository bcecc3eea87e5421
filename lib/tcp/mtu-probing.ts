/**
 * Path MTU discovery by packets alone (RFC 4821, RFC 8899), as Linux does it: some paths lose what is too large and
 * say nothing. The search knows a size that gets through and one that nothing larger can be. Between them data itself
 * is the probe: one segment of the size in the middle. Its acknowledgment raises the lower bound; its loss, of it
 * alone, lowers the upper one and is no sign of congestion (RFC 4821 §7.5). When the bounds have met it rests, and
 * begins anew after `tcp_probe_interval`. With `tcp_mtu_probing` 1 it begins only once timeouts in a row suggest a
 * black hole, with 2 when the connection does.
 */

import type { TcpSettings } from '../sysctl/tcp-settings.ts'
import { SECOND } from '../time/clock.ts'
import { IPV4_MIN_HEADER } from '../wire/ipv4.ts'
import { TCP_MIN_HEADER } from '../wire/tcp.ts'
import { TCP_TIMESTAMPS_LENGTH } from '../wire/tcp-options.ts'
import { seqLe } from './sequence.ts'
import { LossState, type Tcb } from './tcb.ts'

/** Segments that the window must allow before one is put at stake: fewer leave no duplicates to tell of its loss. */
const LEAST_WINDOW = 11

/** What {@link probeLength} says besides a length. */
export const Probe = {
  /** No probe now: send as ever. */
  NONE: 0,
  /** A probe is due, and only what is on its way stands in its way: send nothing. */
  WAIT: -1,
} as const

export class MtuSearch {
  /** Sizes of packets, headers included: the lower gets through, nothing above the upper does. */
  low: number
  high: number
  /** Size of the packet that is at stake now, 0: none; its first byte, and the one behind its last. */
  size = 0
  start = 0
  end = 0
  /** When the range was last the whole one. */
  begunAt: number

  constructor(low: number, high: number, now: number) {
    this.low = low
    this.high = high
    this.begunAt = now
  }

  /** The probe has arrived, if there was one and `una` says so. */
  succeeded(una: number): boolean {
    if (this.size === 0 || !seqLe(this.end, una)) return false
    this.low = this.size
    this.size = 0
    return true
  }

  /** It was lost, and what was before it was not. */
  failed(): void {
    this.high = this.size - 1
    this.size = 0
  }
}

/** Bytes of the headers of a segment of data (`tcp_mss_to_mtu`). */
function headersOf({ timestamps }: Tcb): number {
  return IPV4_MIN_HEADER + TCP_MIN_HEADER + (timestamps ? TCP_TIMESTAMPS_LENGTH : 0)
}

/** Bytes of data in a packet of that size (`tcp_mtu_to_mss`). */
function dataOf(tcb: Tcb, size: number, settings: TcpSettings): number {
  const options = tcb.timestamps ? TCP_TIMESTAMPS_LENGTH : 0
  const mss = Math.min(size - IPV4_MIN_HEADER - TCP_MIN_HEADER, tcb.peerMss)
  return Math.max(mss, settings.tcp_min_snd_mss) - options
}

function largestPacket(tcb: Tcb): number {
  return tcb.peerMss + IPV4_MIN_HEADER + TCP_MIN_HEADER
}

function beginSearch(tcb: Tcb, settings: TcpSettings, now: number): void {
  const high = Math.min(largestPacket(tcb), tcb.path.mtu)
  tcb.mtuSearch = new MtuSearch(settings.tcp_base_mss + headersOf(tcb), high, now)
  tcb.mssMtu = 0
}

/** The connection begins (`tcp_mtup_init`). */
export function initMtuSearch(tcb: Tcb, settings: TcpSettings, now: number): void {
  if (settings.tcp_mtu_probing > 1) beginSearch(tcb, settings, now)
}

/**
 * Timeouts in a row: perhaps what is sent is too large for the path (`tcp_mtu_probing`). The first time the search
 * begins, which brings segments down to `tcp_base_mss`; then they are halved, to `tcp_mtu_probe_floor` at least.
 */
export function suspectBlackHole(tcb: Tcb, settings: TcpSettings, now: number): void {
  if (settings.tcp_mtu_probing === 0) return
  const search = tcb.mtuSearch
  if (search === null) return beginSearch(tcb, settings, now)
  const half = Math.min(settings.tcp_base_mss, dataOf(tcb, search.low, settings) >> 1)
  const mss = Math.max(half, settings.tcp_mtu_probe_floor, settings.tcp_min_snd_mss)
  search.low = mss + headersOf(tcb)
  tcb.mssMtu = 0
}

/** What the search leaves of the path's MTU; the path's own word bounds it. */
export function searchedMtu({ mtuSearch }: Tcb, mtu: number): number {
  if (mtuSearch === null) return mtu
  mtuSearch.high = Math.min(mtuSearch.high, mtu)
  return Math.min(mtu, mtuSearch.low)
}

/**
 * Bytes of data for a probe to be sent now, or one of {@link Probe} (`tcp_mtu_probe`). There must be enough to send
 * that those behind it tell of its fate.
 * @param room bytes that the congestion window allows @param inFlight bytes on their way
 */
export function probeLength(
  tcb: Tcb,
  settings: TcpSettings,
  room: number,
  inFlight: number,
  now: number,
): number {
  const search = tcb.mtuSearch
  if (search === null || search.size !== 0 || tcb.lossState !== LossState.OPEN) return Probe.NONE
  if (tcb.congestion.cwnd < LEAST_WINDOW * tcb.mss || !tcb.outOfOrder.isEmpty || tcb.hasDsack) {
    return Probe.NONE
  }
  const length = dataOf(tcb, (search.high + search.low) >> 1, settings)
  const range = search.high - search.low
  if (length > dataOf(tcb, search.high, settings) || range < settings.tcp_probe_threshold) {
    beginAgain(tcb, search, settings, now)
    return Probe.NONE
  }
  const needed = length + (tcb.reordering + 1) * tcb.mss
  if (((tcb.dataEnd - tcb.sndNxt) | 0) < needed || tcb.sndWnd < needed) return Probe.NONE
  if (((tcb.windowEnd - tcb.sndNxt) | 0) < needed) return Probe.WAIT
  if (room < Math.max(2 * tcb.mss, length)) return inFlight > 0 ? Probe.WAIT : Probe.NONE
  return length
}

/** The probe of `length` bytes from `seq` on has gone. */
export function probeSent(tcb: Tcb, seq: number, length: number): void {
  const search = tcb.mtuSearch!
  search.size = length + headersOf(tcb)
  search.start = seq
  search.end = (seq + length) | 0
}

/** Paths change: after a while what did not get through may (`tcp_mtu_check_reprobe`, RFC 4821 §7.7). */
function beginAgain(tcb: Tcb, search: MtuSearch, settings: TcpSettings, now: number): void {
  if (now - search.begunAt < settings.tcp_probe_interval * SECOND) return
  search.low = tcb.mss + headersOf(tcb)
  search.high = largestPacket(tcb)
  search.begunAt = now
  tcb.mssMtu = 0 // the path's MTU bounds it again
}
