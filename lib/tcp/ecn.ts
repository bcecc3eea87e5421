/**
 * Explicit congestion notification (RFC 3168), as Linux has it: both ends agree on it in the handshake (`tcp_ecn`);
 * data is then sent as capable of it, a mark of the path is echoed in every acknowledgment until the sender says that
 * he has heard, and the sender reduces his window once in a round trip. Copies and acknowledgments are sent as before.
 */
import { TcpFlag } from '../wire/tcp.ts'
import { enterQuickAck } from './receive-window.ts'
import type { Segment } from './segment.ts'
import type { Tcb } from './tcb.ts'

/** The field of IP's TOS octet (RFC 3168 §5). */
export const Ecn = { NOT_ECT: 0, ECT_1: 1, ECT_0: 2, CE: 3 } as const
const MASK = 3

/** `tcp_ecn`: 1 asks for it, 1 and 2 answer who asks. */
const ASK = 1

export const SYN_ECN: number = TcpFlag.ECE | TcpFlag.CWR

/** Whether a SYN asks for it. */
export function asksForEcn(tcpEcn: number): boolean {
  return tcpEcn === ASK
}

/**
 * Whether a SYN is answered with it. One that came as capable itself was sent by somebody who knows better than RFC
 * 3168, or was changed on its way: no (`tcp_ecn_create_request`).
 */
export function grantsEcn(tcpEcn: number, { flags, tos }: Segment): boolean {
  return tcpEcn !== 0 && (flags & SYN_ECN) === SYN_ECN && (tos & MASK) === Ecn.NOT_ECT
}

/** The answer to a SYN that asked: ECE alone grants it; both flags are those of the SYN, come back from somewhere. */
export function isGranted({ flags }: Segment): boolean {
  return (flags & SYN_ECN) === TcpFlag.ECE
}

/** Looks at the mark of a segment with data, and whether its sender has heard of an earlier one. */
export function receiveMark(tcb: Tcb, { flags, tos }: Segment): void {
  if ((flags & TcpFlag.CWR) !== 0) {
    tcb.ecnEcho = false
    // Its window may be as small as one segment: it waits for the acknowledgment.
    enterQuickAck(tcb)
  }
  switch (tos & MASK) {
    case Ecn.CE:
      if (!tcb.ecnEcho) enterQuickAck(tcb)
      tcb.ecnEcho = tcb.ecnSeen = true
      return
    case Ecn.NOT_ECT:
      // Data that came again, where it had been capable before: the sender is in trouble.
      if (tcb.ecnSeen) enterQuickAck(tcb)
      return
    default:
      tcb.ecnSeen = true
  }
}
