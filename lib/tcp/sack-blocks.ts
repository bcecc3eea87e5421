/** What of the SACK option can be believed: which block reports a duplicate (RFC 2883), which lie within what was sent. */
import type { TcpOptions } from '../wire/tcp-options.ts'
import { seqGe, seqLe, seqLt } from './sequence.ts'

/**
 * Whether the first block reports a duplicate (RFC 2883 §4): it is below SEG.ACK, or within the second. It then is no
 * report of what has arrived.
 */
export function reportsDuplicate(options: TcpOptions, ack: number): boolean {
  const left = options.sackLeft[0]!
  if (seqLt(left, ack)) return true
  if (options.sackCount < 2) return false
  return seqGe(left, options.sackLeft[1]!) && seqLe(options.sackRight[0]!, options.sackRight[1]!)
}

/** Whether block `i` is one, and ends within what was sent. */
export function isBlock(options: TcpOptions, i: number, sndNxt: number): boolean {
  const right = options.sackRight[i]!
  return seqLt(options.sackLeft[i]!, right) && seqLe(right, sndNxt)
}
