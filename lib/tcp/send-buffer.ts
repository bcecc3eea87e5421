/**
 * How much a program may have written that is not acknowledged (`sk_sndbuf`). A program that says nothing gets room
 * that grows with the congestion window, so that a long path can be filled (Linux's `tcp_sndbuf_expand`); a size that
 * was asked for stays what it is (`SO_SNDBUF`). Linux counts what a segment costs it in memory; the same cost is
 * counted here, so that a connection of the same window may hold as many bytes.
 */
import { LEAST_SEND_BUFFER } from './memory.ts'
import type { Tcb } from './tcb.ts'

/** `TCP_INIT_CWND` */
const INITIAL_SEGMENTS = 10
/** What Linux adds to a segment: `MAX_TCP_HEADER` and `skb_shared_info`, and, not rounded up, `sk_buff`. */
const HEADER_COST = 320 + 320
const BUFFER_COST = 256

/** Bytes that the application may have waiting before it has to wait itself. @param most `tcp_wmem_max` */
export function sendLimit(
  { sendQueue, congestion, reordering, mss, sendBufferFixed, memory }: Tcb,
  most: number,
): number {
  const { limit } = sendQueue
  if (memory.exhausted) return Math.min(limit, LEAST_SEND_BUFFER)
  if (sendBufferFixed || mss === 0 || memory.isScarce) return limit
  const cost = 2 ** Math.ceil(Math.log2(mss + HEADER_COST)) + BUFFER_COST
  const segments = Math.max(INITIAL_SEGMENTS, Math.floor(congestion.cwnd / mss), reordering + 1)
  return Math.max(limit, Math.min(2 * segments * cost, most))
}
