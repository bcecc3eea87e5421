/**
 * What a segment brings about beside the changes in its block: filled in by {@link TcpInput}, acted on afterwards.
 * One object is used for segment after segment.
 */
import { DropReason } from '../wire/drop-reason.ts'

/** Whether what came is to be acknowledged. */
export const AckAction = {
  NONE: 0,
  /** Data came: now or later, as the rules of delayed acknowledgments say. */
  DATA: 1,
  NOW: 2,
  /** The segment was not acceptable: an ACK says where things stand, unless one has just gone. */
  OUT_OF_WINDOW: 3,
  /** RFC 5961: let the peer confirm what may have been forged. */
  CHALLENGE: 4,
} as const
export type AckAction = (typeof AckAction)[keyof typeof AckAction]

export class Effects {
  ack: AckAction = AckAction.NONE
  /** Answer the segment with a reset. */
  reset = false
  /** The connection is over, for {@link errno}; 0 if it ended in good order. */
  closed = false
  errno = 0
  /** The connection is in TIME-WAIT. */
  timeWait = false
  /** A SYN crossed ours: send SYN-ACK. */
  synAck = false
  /** The handshake is complete. */
  established = false
  /** Why the segment was not used; `NONE` if it was. */
  reason: DropReason = DropReason.NONE
  /** Counter of `TcpExt` for an answer that is held back. */
  skipped = 0

  clear(): this {
    this.ack = AckAction.NONE
    this.reset = false
    this.closed = false
    this.errno = 0
    this.timeWait = false
    this.synAck = false
    this.established = false
    this.reason = DropReason.NONE
    this.skipped = 0
    return this
  }
}
