/**
 * What ICMP says of TCP's segments (`tcp_v4_err`, RFC 5927, RFC 1122 §4.2.3.9): it counts if the segment that it quotes
 * is on its way, ends what has not begun, tells the path's MTU, and is no more than a hint for a connection that has
 * worked.
 */
import { readIpv4 } from '../address/ipv4-address.ts'
import { createFlowKey, setIpv4Flow } from '../demux/flow-key.ts'
import type { IcmpErrorInfo } from '../ipv4/context.ts'
import { IcmpMib, TcpExtMib } from '../observe/mib.ts'
import { IcmpType, UnreachableCode } from '../wire/icmpv4.ts'
import { IPV4_DESTINATION, IPV4_SOURCE } from '../wire/ipv4.ts'
import { TCP_DESTINATION_PORT, TCP_SEQUENCE, TCP_SOURCE_PORT } from '../wire/tcp.ts'
import type { Handshakes } from './handshakes.ts'
import type { LossRecovery } from './loss-recovery.ts'
import type { TcpOutput } from './output.ts'
import { read32 } from './segment.ts'
import { seqGt, seqLt } from './sequence.ts'
import type { TcpShared } from './shared.ts'
import { EndpointKind, type Tcb, TcpState } from './tcb.ts'

/** What becomes of a connection. */
export interface Concerned {
  readonly loss: LossRecovery
  readonly output: TcpOutput
  readonly handshakes: Handshakes
  destroy(tcb: Tcb, errno: number): void
  settle(tcb: Tcb): void
}

export class TcpIcmpErrors {
  readonly #shared: TcpShared
  readonly #tcp: Concerned
  readonly #key = createFlowKey()

  constructor(shared: TcpShared, tcp: Concerned) {
    this.#shared = shared
    this.#tcp = tcp
  }

  /** @param quote offset of the quoted IP header @param headerLength its bytes */
  receive(bytes: Uint8Array, quote: number, headerLength: number, error: IcmpErrorInfo): void {
    const { mib } = this.#shared.ctx
    const at = quote + headerLength
    const key = this.#key
    setIpv4Flow(
      key,
      readIpv4(bytes, quote + IPV4_SOURCE),
      (bytes[at + TCP_SOURCE_PORT]! << 8) | bytes[at + TCP_SOURCE_PORT + 1]!,
      readIpv4(bytes, quote + IPV4_DESTINATION),
      (bytes[at + TCP_DESTINATION_PORT]! << 8) | bytes[at + TCP_DESTINATION_PORT + 1]!,
      0,
    )
    const endpoint = this.#shared.endpoints.lookupConnected(key)
    if (endpoint === null) {
      mib.icmp[IcmpMib.InErrors]!++
      return
    }
    const seq = read32(bytes, at + TCP_SEQUENCE)
    switch (endpoint.kind) {
      case EndpointKind.TIME_WAIT:
      case EndpointKind.LISTENER:
        return
      case EndpointKind.HALF_OPEN:
        if (seq !== endpoint.iss) mib.tcpExt[TcpExtMib.OutOfWindowIcmps]!++
        else if (error.fatal) {
          mib.tcpExt[TcpExtMib.ListenDrops]!++
          this.#tcp.handshakes.dropHalfOpen(endpoint)
        }
        return
      case EndpointKind.CONNECTION:
        if (seqLt(seq, endpoint.sndUna) || seqGt(seq, endpoint.sndNxt)) {
          mib.tcpExt[TcpExtMib.OutOfWindowIcmps]!++
          return
        }
        return this.#about(endpoint, bytes, quote, error)
    }
  }

  #about(tcb: Tcb, bytes: Uint8Array, quote: number, error: IcmpErrorInfo): void {
    const { icmp } = this.#shared.ip
    const { loss, output } = this.#tcp
    if (error.type === IcmpType.REDIRECT) return icmp.learnPathMtu(bytes, quote, error)
    if (error.errno === 0) return // source quench (RFC 6633)
    if (error.type === IcmpType.DEST_UNREACH && error.code === UnreachableCode.FRAG_NEEDED) {
      const before = tcb.path.mtu
      icmp.learnPathMtu(bytes, quote, error)
      if (tcb.path.mtu < before && tcb.synchronized) {
        if (!loss.probeRefused(tcb, tcb.path.mtu)) loss.pathShrunk(tcb)
        output.push(tcb)
        this.#tcp.settle(tcb)
      }
      return
    }
    if (tcb.state === TcpState.SYN_SENT || tcb.state === TcpState.SYN_RECEIVED) {
      return this.#tcp.destroy(tcb, error.errno)
    }
    // What the path says of a connection that has worked is a hint (RFC 5927 §5.2).
    tcb.softErrno = error.errno
  }
}
