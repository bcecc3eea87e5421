/**
 * What all TCP connections of a stack hold together, and what follows when it is much (`tcp_mem`): above the second of
 * its three thresholds, until it is below the first again, windows stay small and buffers do not grow; above the third
 * nothing more is taken that can be done without, and who closes a connection with data in it loses it. The stores that
 * hand memory out say so here: an addition for a buffer, none for a packet.
 */
import { type Mib, TcpExtMib } from '../observe/mib.ts'
import type { TcpSettings } from '../sysctl/tcp-settings.ts'
import { MILLISECOND } from '../time/clock.ts'
import type { Tcb } from './tcb.ts'

/** The unit of `tcp_mem`. */
const PAGE = 4096
/** Bytes that a send buffer may hold whatever happens (`SOCK_MIN_SNDBUF`, rounded). */
export const LEAST_SEND_BUFFER = 4096
/** Segments of window under pressure. */
const PRESSED_SEGMENTS = 4

/** The stack's settings, counters and time. */
export interface MemoryContext {
  readonly sysctl: { readonly ipv4: TcpSettings }
  readonly mib: Mib
  readonly now: number
}

export class TcpMemory {
  /** Bytes of buffers in use: what was received, in order or early, and what was written and is not acknowledged. */
  bytes = 0
  /** Between the thresholds it depends on where it comes from. */
  pressed = false
  /** There is no more (`sk_prot_mem_limits(sk, 2)`). */
  exhausted = false
  /** Connections that nobody owns any longer and that are not over. */
  orphans = 0
  readonly #ctx: MemoryContext | null
  #pressedAt = 0

  /** Without a context there is no threshold. */
  constructor(ctx: MemoryContext | null = null) {
    this.#ctx = ctx
  }

  get pages(): number {
    return Math.ceil(this.bytes / PAGE)
  }

  /** So much that no send buffer grows. */
  get isScarce(): boolean {
    return this.pressed || (this.#ctx !== null && this.bytes >= this.#ctx.sysctl.ipv4.tcp_mem_low * PAGE)
  }

  /** `bytes` more are in use, or fewer. */
  charge(bytes: number): void {
    this.bytes += bytes
    if (this.#ctx === null) return
    const { tcp_mem_low, tcp_mem_pressure, tcp_mem_high } = this.#ctx.sysctl.ipv4
    this.exhausted = this.bytes > tcp_mem_high * PAGE
    if (this.pressed ? this.bytes <= tcp_mem_low * PAGE : this.bytes > tcp_mem_pressure * PAGE) {
      this.#cross(this.#ctx)
    }
  }

  #cross({ mib, now }: MemoryContext): void {
    this.pressed = !this.pressed
    if (this.pressed) {
      mib.tcpExt[TcpExtMib.TCPMemoryPressures]!++
      this.#pressedAt = now
    } else
      mib.tcpExt[TcpExtMib.TCPMemoryPressuresChrono]! += Math.floor((now - this.#pressedAt) / MILLISECOND)
  }

  /** Its application has let go of it. */
  addOrphan(tcb: Tcb): void {
    if (tcb.countsAsOrphan) return
    tcb.countsAsOrphan = true
    this.orphans++
  }

  removeOrphan(tcb: Tcb): void {
    if (!tcb.countsAsOrphan) return
    tcb.countsAsOrphan = false
    this.orphans--
  }

  /**
   * Whether an orphan has to go (`tcp_check_oom`): there are too many, or it holds data and memory is exhausted.
   * @param shift how much more it counts than another
   */
  refusesOrphan(tcb: Tcb, shift: number): boolean {
    if (this.#ctx === null) return false
    if (this.orphans * 2 ** shift > this.#ctx.sysctl.ipv4.tcp_max_orphans) return true
    this.charge(0) // the thresholds may have been changed since
    return tcb.sendQueue.length > LEAST_SEND_BUFFER && this.exhausted
  }
}

/** Under pressure a window covers what keeps the connection going (`tcp_adjust_rcv_ssthresh`). */
export function shrinkToPressure(tcb: Tcb): void {
  tcb.rcvSsthresh = Math.min(tcb.rcvSsthresh, PRESSED_SEGMENTS * tcb.announcedMss)
}
