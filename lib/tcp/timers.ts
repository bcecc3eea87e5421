/**
 * What happens when time has passed: retransmission (RFC 6298 §5), window probes (RFC 9293 §3.8.6.1), delayed
 * acknowledgments, keep-alive (§3.8.4), and the end of a wait for a peer that says nothing more. One timer of the
 * wheel serves a connection; here is looked which of its deadlines have come.
 */
import { Errno } from '../errors.ts'
import type { Ipv4Context } from '../ipv4/context.ts'
import { TcpExtMib, TcpMib } from '../observe/mib.ts'
import { MILLISECOND, SECOND } from '../time/clock.ts'
import type { LossRecovery } from './loss-recovery.ts'
import { suspectBlackHole } from './mtu-probing.ts'
import type { TcpOutput } from './output.ts'
import { type Tcb, TcpState } from './tcb.ts'
import { TIME_WAIT_LENGTH } from './time-wait.ts'

const RTO_MIN = 200 * MILLISECOND
const RTO_MAX = 120 * SECOND
/** Retries for a connection that nobody holds any more, where the sysctl says 0 (`tcp_orphan_retries`). */
const ORPHAN_RETRIES = 8

/** Who ends a connection. */
export interface ConnectionEnder {
  destroy(tcb: Tcb, errno: number): void
  abort(tcb: Tcb, errno: number): void
}

export class TcpTimers {
  readonly #ender: ConnectionEnder
  readonly #ctx: Ipv4Context
  readonly #output: TcpOutput
  readonly #loss: LossRecovery

  constructor(ender: ConnectionEnder, ctx: Ipv4Context, output: TcpOutput, loss: LossRecovery) {
    this.#ender = ender
    this.#ctx = ctx
    this.#output = output
    this.#loss = loss
  }

  /** The connection's timer has fired. */
  expire(tcb: Tcb): void {
    const { now, mib } = this.#ctx
    if (now >= tcb.delayedAckAt) {
      tcb.delayedAckAt = Infinity
      if (tcb.ackPending) {
        mib.tcpExt[TcpExtMib.DelayedACKs]!++
        tcb.interactive = false
        this.#output.ack(tcb)
      }
    }
    if (now >= tcb.roomAt) {
      tcb.roomAt = Infinity
      // What has never left is not retransmitted either: the user timeout counts from when it could not leave.
      if (tcb.userTimeout !== 0 && tcb.sndUna === tcb.sndNxt && now - tcb.roomSince >= tcb.userTimeout)
        return this.#timeOut(tcb)
      this.#output.push(tcb)
    }
    if (now >= tcb.reorderAt) {
      this.#loss.onReorderTimeout(tcb, now)
      this.#output.push(tcb)
    }
    if (now >= tcb.probeAt) this.#probeTail(tcb)
    if (now >= tcb.retransmitAt) this.#retransmit(tcb)
    if (now >= tcb.keepaliveAt && tcb.state !== TcpState.CLOSED) this.#keepAlive(tcb)
  }

  /** `TCP_KEEPIDLE`, in nanoseconds. */
  keepIdle(tcb: Tcb): number {
    return tcb.keepIdle !== 0 ? tcb.keepIdle : this.#ctx.sysctl.ipv4.tcp_keepalive_time * SECOND
  }

  #retransmit(tcb: Tcb): void {
    tcb.retransmitAt = Infinity
    switch (tcb.state) {
      case TcpState.SYN_SENT:
      case TcpState.SYN_RECEIVED:
        return this.#retransmitSyn(tcb)
      case TcpState.CLOSED:
      case TcpState.TIME_WAIT:
      case TcpState.LISTEN:
        return
      default:
        if (tcb.sndUna === tcb.sndNxt) this.#probe(tcb)
        else this.#retransmitData(tcb)
    }
  }

  /** The first timeouts of a SYN come after a second each, the later ones double (`tcp_syn_linear_timeouts`). */
  #retransmitSyn(tcb: Tcb): void {
    const { now, mib } = this.#ctx
    const { tcp_syn_retries, tcp_syn_linear_timeouts, tcp_synack_retries } = this.#ctx.sysctl.ipv4
    const opening = tcb.state === TcpState.SYN_SENT
    const linear = opening ? tcp_syn_linear_timeouts : 0
    const retries = opening ? tcp_syn_retries + linear : tcp_synack_retries
    const waited = now - tcb.establishedAt
    if (tcb.retransmits >= retries || (tcb.userTimeout !== 0 && waited >= tcb.userTimeout)) {
      mib.tcpExt[TcpExtMib.TCPTimeouts]!++
      mib.tcpExt[TcpExtMib.TCPAbortOnTimeout]!++
      return this.#ender.destroy(tcb, tcb.softErrno !== 0 ? tcb.softErrno : Errno.ETIMEDOUT)
    }
    mib.tcpExt[TcpExtMib.TCPTimeouts]!++
    mib.tcpExt[TcpExtMib.TCPSynRetrans]!++
    mib.tcp[TcpMib.RetransSegs]!++
    tcb.noteTimeout(now)
    tcb.totalRetransmits++
    if (tcb.retransmits > linear) tcb.rtt.backOff()
    // Perhaps somebody on the way throws away what asks for ECN (RFC 3168 §6.1.1.1).
    if (opening && this.#ctx.sysctl.ipv4.tcp_ecn_fallback !== 0) tcb.ecn = false
    this.#output.syn(tcb)
    tcb.retransmitAt = this.#clamped(tcb, tcb.establishedAt)
  }

  /** Nobody has answered for two round trips: perhaps the tail is lost (RFC 8985 §7.3). */
  #probeTail(tcb: Tcb): void {
    const { now } = this.#ctx
    tcb.probeAt = Infinity
    if (tcb.sndUna === tcb.sndNxt) return
    if (tcb.tlpEnd === null) this.#output.probeTail(tcb)
    tcb.retransmitAt = now + tcb.rtt.timeout // the answer gets its time
  }

  #retransmitData(tcb: Tcb): void {
    const { now, mib, sysctl } = this.#ctx
    const { ipv4 } = sysctl
    const since = tcb.retransmitStart === Infinity ? now : tcb.retransmitStart
    if (tcb.sndWnd === 0) {
      // The peer took its window back (RFC 9293 §3.8.6): as long as it speaks, the connection lives.
      if (now - tcb.lastHeard > RTO_MAX && tcb.retransmits > 0) return this.#timeOut(tcb)
    } else if (this.#hasWaited(tcb, since, tcb.orphan ? orphanRetries(ipv4) : ipv4.tcp_retries2)) {
      return this.#timeOut(tcb)
    }
    if (this.#isTooMuch(tcb)) return
    if (tcb.retransmits > 0 && now - since >= modelTimeout(ipv4.tcp_retries1)) {
      suspectBlackHole(tcb, ipv4, now)
      tcb.path.reconsider()
    }
    mib.tcpExt[TcpExtMib.TCPTimeouts]!++
    this.#loss.onTimeout(tcb, now)
    this.#output.retransmitHead(tcb)
    tcb.noteTimeout(now)
    tcb.rtt.backOff()
    tcb.retransmitAt = this.#clamped(tcb, tcb.retransmitStart === Infinity ? now : tcb.retransmitStart)
  }

  /** Data waits and the window is closed, or too small for a segment. */
  #probe(tcb: Tcb): void {
    const { now, mib, sysctl } = this.#ctx
    const { ipv4 } = sysctl
    if (tcb.sndNxt === tcb.dataEnd && tcb.finQueued === tcb.finSent) return
    const retries = tcb.orphan ? orphanRetries(ipv4) : ipv4.tcp_retries2
    const given = tcb.userTimeout !== 0 && tcb.probes > 0 && now - tcb.lastHeard >= tcb.userTimeout
    if (given || tcb.probes >= retries) return this.#timeOut(tcb)
    if (this.#isTooMuch(tcb)) return
    tcb.probes++
    if (!this.#output.sendIntoSmallWindow(tcb)) {
      mib.tcpExt[TcpExtMib.TCPWinProbe]!++
      this.#output.probe(tcb)
    }
    tcb.rtt.backOff()
    tcb.retransmitAt = now + tcb.rtt.timeout
  }

  #keepAlive(tcb: Tcb): void {
    const { now, mib, sysctl } = this.#ctx
    const { ipv4 } = sysctl
    tcb.keepaliveAt = Infinity
    if (tcb.orphan && tcb.state === TcpState.FIN_WAIT_2) return this.#ender.destroy(tcb, 0)
    if (!tcb.keepAlive || tcb.state === TcpState.SYN_SENT) return
    const idle = this.keepIdle(tcb)
    if (tcb.sndUna !== tcb.sndNxt || tcb.sndNxt !== tcb.dataEnd) {
      tcb.keepaliveAt = now + idle // the retransmission timer watches over it
      return
    }
    const silent = now - tcb.lastHeard
    if (silent < idle) {
      tcb.keepaliveAt = tcb.lastHeard + idle
      return
    }
    const count = tcb.keepCount !== 0 ? tcb.keepCount : ipv4.tcp_keepalive_probes
    const lost = tcb.userTimeout !== 0 ? silent >= tcb.userTimeout && tcb.probes > 0 : tcb.probes >= count
    if (lost) return this.#ender.abort(tcb, tcb.softErrno !== 0 ? tcb.softErrno : Errno.ETIMEDOUT)
    tcb.probes++
    mib.tcpExt[TcpExtMib.TCPKeepAlive]!++
    this.#output.probe(tcb)
    tcb.keepaliveAt = now + (tcb.keepInterval !== 0 ? tcb.keepInterval : ipv4.tcp_keepalive_intvl * SECOND)
  }

  /** An orphan that there is no memory for, the less the longer it is silent (`tcp_out_of_resources`). */
  #isTooMuch(tcb: Tcb): boolean {
    if (!tcb.orphan) return false
    const { now, mib } = this.#ctx
    const idle = now - tcb.lastSent
    const shift = (idle > 2 * tcb.rtt.maxRto ? 1 : 0) + (tcb.softErrno !== 0 ? 1 : 0)
    if (!tcb.memory.refusesOrphan(tcb, shift)) return false
    mib.tcpExt[TcpExtMib.TCPAbortOnMemory]!++
    const speaks = idle <= TIME_WAIT_LENGTH || (tcb.sndWnd === 0 && tcb.sndUna === tcb.sndNxt)
    if (speaks) this.#ender.abort(tcb, Errno.ENOMEM)
    else this.#ender.destroy(tcb, Errno.ENOMEM)
    return true
  }

  #timeOut(tcb: Tcb): void {
    this.#ctx.mib.tcpExt[TcpExtMib.TCPAbortOnTimeout]!++
    this.#ender.destroy(tcb, tcb.softErrno !== 0 ? tcb.softErrno : Errno.ETIMEDOUT)
  }

  /** The timeout, no later than the user timeout lets it be (`tcp_clamp_rto_to_user_timeout`). */
  #clamped(tcb: Tcb, since: number): number {
    const { now } = this.#ctx
    const at = now + tcb.rtt.timeout
    return tcb.userTimeout === 0 ? at : Math.max(now, Math.min(at, since + tcb.userTimeout))
  }

  /** As long as so many doublings of the least timeout take, whatever the RTT is (`retransmits_timed_out`). */
  #hasWaited(tcb: Tcb, since: number, retries: number): boolean {
    if (tcb.retransmits === 0) return false
    const limit = tcb.userTimeout !== 0 ? tcb.userTimeout : modelTimeout(retries)
    return this.#ctx.now - since >= limit
  }
}

/** `tcp_model_timeout`: the time of `retries` backoffs from 200 ms on, with the last at 120 s each. */
export function modelTimeout(retries: number): number {
  const doublings = Math.floor(Math.log2(RTO_MAX / RTO_MIN))
  if (retries <= doublings) return (2 ** (retries + 1) - 1) * RTO_MIN
  return (2 ** (doublings + 1) - 1) * RTO_MIN + (retries - doublings) * RTO_MAX
}

function orphanRetries({ tcp_orphan_retries }: { tcp_orphan_retries: number }): number {
  return tcp_orphan_retries === 0 ? ORPHAN_RETRIES : tcp_orphan_retries
}
