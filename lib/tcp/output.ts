/**
 * What a connection sends, and when: new data within the peer's window and the congestion window, held together by
 * Nagle's rule (RFC 9293 §3.7.4) and the avoidance of silly windows (§3.8.6.2.1); what is lost; acknowledgments,
 * probes, FIN and RST. A device that takes super-segments gets up to 64 KiB in one packet.
 */
import type { Ipv4Context } from '../ipv4/context.ts'
import { TcpExtMib, TcpMib } from '../observe/mib.ts'
import { Gso, HEADROOM, type Packet } from '../packet/packet.ts'
import { MILLISECOND } from '../time/clock.ts'
import { TCP_MIN_HEADER, TcpFlag } from '../wire/tcp.ts'
import {
  MAX_SACK_BLOCKS,
  sackLength,
  TCP_MAX_OPTIONS,
  TCP_TIMESTAMPS_LENGTH,
  writeSack,
  writeSynOptions,
  writeTimestamps,
} from '../wire/tcp-options.ts'
import { Ecn, SYN_ECN } from './ecn.ts'
import { timestampAt } from './isn.ts'
import { beginLimit, endLimit, endLimits, Limit } from './limits.ts'
import type { LossRecovery } from './loss-recovery.ts'
import { Probe, probeLength, probeSent, searchedMtu } from './mtu-probing.ts'
import { burstSize, pace, pacingQuantum, pacingRate } from './pacing.ts'
import { DELAYED_ACK, selectWindow } from './receive-window.ts'
import { writeTcpHeader, writeUrgent } from './replies.ts'
import { sendLimit } from './send-buffer.ts'
import { seqGt, seqLt } from './sequence.ts'
import { type Tcb, TcpState } from './tcb.ts'
import { urgentPointer } from './urgent.ts'

/** How soon a connection looks again whether its device has room, or the pool a packet; how late at most. */
const ROOM_RETRY = MILLISECOND
const LONGEST_ROOM_RETRY = 500 * MILLISECOND
/** Of the time that it has waited so far, after which it looks again. */
const ROOM_RETRY_PART = 1 / 8

export class TcpOutput {
  readonly #ctx: Ipv4Context
  readonly #loss: LossRecovery
  readonly #sackLeft = new Int32Array(MAX_SACK_BLOCKS)
  readonly #sackRight = new Int32Array(MAX_SACK_BLOCKS)
  /** New data could not go for want of the peer's window, in {@link push}. */
  #peerLimits = false

  constructor(ctx: Ipv4Context, loss: LossRecovery) {
    this.#ctx = ctx
    this.#loss = loss
  }

  /** Sends all that may be sent now: what is lost first, then what is new. */
  push(tcb: Tcb): void {
    switch (tcb.state) {
      case TcpState.ESTABLISHED:
      case TcpState.CLOSE_WAIT:
      case TcpState.FIN_WAIT_1:
      case TcpState.CLOSING:
      case TcpState.LAST_ACK:
        break
      default:
        return
    }
    const { now } = this.#ctx
    if (tcb.sndUna === tcb.sndNxt && tcb.sndNxt === tcb.dataEnd && tcb.finQueued === tcb.finSent) {
      endLimits(tcb, now)
      return
    }
    beginLimit(tcb, Limit.BUSY, now)
    const mss = this.currentMss(tcb)
    if (tcb.transmissions.lostBytes > 0 && !this.#retransmit(tcb, mss)) return
    this.#peerLimits = false
    this.#sendNew(tcb, mss)
    if (this.#peerLimits) beginLimit(tcb, Limit.PEER_WINDOW, now)
    else endLimit(tcb, Limit.PEER_WINDOW, now)
    if (
      tcb.sndUna === tcb.sndNxt &&
      tcb.sndNxt !== tcb.dataEnd &&
      tcb.retransmitAt === Infinity &&
      tcb.roomAt === Infinity
    ) {
      // The window is closed, or too small to be filled: somebody has to ask (RFC 9293 §3.8.6.1).
      tcb.retransmitAt = now + tcb.rtt.timeout
    }
  }

  /** Bytes of data that a segment may carry now, options counted (RFC 9293 §3.7.1, MUST-16). */
  currentMss(tcb: Tcb): number {
    const { mtu } = tcb.path
    if (mtu !== tcb.mssMtu) this.#syncMss(tcb, mtu)
    const blocks = !tcb.outOfOrder.isEmpty || tcb.hasDsack ? this.#sackBlocks(tcb) : 0
    return Math.max(8, tcb.mss - sackLength(blocks))
  }

  /** An ACK, now. */
  ack(tcb: Tcb): void {
    this.#sendEmpty(tcb, tcb.sndNxt, TcpFlag.ACK)
  }

  /** SYN, or in SYN-RECEIVED SYN-ACK, the first time or again. */
  syn(tcb: Tcb): void {
    const ctx = this.#ctx
    const packet = ctx.pool.allocate(TCP_MIN_HEADER + TCP_MAX_OPTIONS, HEADROOM)
    if (packet === null) return
    const answering = tcb.state === TcpState.SYN_RECEIVED
    const at = packet.put(TCP_MIN_HEADER)
    packet.end += writeSynOptions(packet.bytes, packet.end, {
      mss: tcb.announcedMss,
      windowScale: tcb.windowScaling ? tcb.rcvScale : -1,
      sackPermitted: tcb.sack,
      timestamps: tcb.timestamps,
      tsValue: timestampAt(ctx.now, tcb.tsOffset),
      tsEcho: tcb.tsRecent,
    })
    let flags: number = answering ? TcpFlag.SYN | TcpFlag.ACK : TcpFlag.SYN
    if (tcb.ecn) flags |= answering ? TcpFlag.ECE : SYN_ECN
    const wnd = Math.min(tcb.rcvWnd, 0xffff)
    const { localPort, remotePort } = tcb.path
    writeTcpHeader(packet, at, localPort, remotePort, tcb.iss, answering ? tcb.rcvNxt : 0, flags, wnd)
    if (answering) tcb.rcvWup = tcb.rcvNxt
    this.#send(tcb, packet, at, 1, Ecn.NOT_ECT)
  }

  /** RST: the connection is aborted, or its application closed without having read. */
  reset(tcb: Tcb): void {
    this.#sendEmpty(tcb, tcb.sndNxt, TcpFlag.RST | TcpFlag.ACK)
    this.#ctx.mib.tcp[TcpMib.OutRsts]!++
  }

  /** A number that was acknowledged already: the peer has to answer with where it stands. */
  probe(tcb: Tcb): void {
    this.#sendEmpty(tcb, (tcb.sndUna - 1) | 0, TcpFlag.ACK)
  }

  /** What fits a window that is too small for a whole segment, after a long wait (`tcp_write_wakeup`); `false`: nothing does. */
  sendIntoSmallWindow(tcb: Tcb): boolean {
    const room = (tcb.windowEnd - tcb.sndNxt) | 0
    const unsent = (tcb.dataEnd - tcb.sndNxt) | 0
    if (room <= 0 || unsent <= 0) return false
    const length = Math.min(room, unsent, this.currentMss(tcb))
    return this.#sendData(tcb, tcb.sndNxt, length, this.currentMss(tcb), false)
  }

  /** The first segment that is not acknowledged, again: after a timeout, or on a fast retransmit. */
  retransmitHead(tcb: Tcb): void {
    const mss = this.currentMss(tcb)
    const missing = this.#loss.nextToRetransmit(tcb)
    const at = this.#loss.retransmitFrom
    const length = Math.min(mss, missing)
    if (length > 0 && this.#resend(tcb, at, length, mss)) this.#loss.retransmitted(tcb, at, length)
  }

  /**
   * One segment more, though nothing says that it may go: of new data if the peer's window takes it, else the end of
   * the flight again (RFC 8985 §7.3). `true` if it went.
   */
  probeTail(tcb: Tcb): boolean {
    const mss = this.currentMss(tcb)
    const unsent = (tcb.dataEnd - tcb.sndNxt) | 0
    const wnd = (tcb.windowEnd - tcb.sndNxt) | 0
    if (unsent > 0 && wnd >= Math.min(unsent, mss)) {
      if (!this.#sendData(tcb, tcb.sndNxt, Math.min(unsent, mss), mss, false)) return false
      this.#loss.probed(tcb, false)
      return true
    }
    const length = Math.min(mss, (tcb.sndNxt - tcb.sndUna) | 0)
    const from = (tcb.sndNxt - length) | 0
    if (length <= 0 || !this.#resend(tcb, from, length, mss)) return false
    this.#loss.retransmitted(tcb, from, length, 'probe')
    this.#loss.probed(tcb, true)
    return true
  }

  /** What of the missing may be sent again; `false` if nothing new may follow it. */
  #retransmit(tcb: Tcb, mss: number): boolean {
    const loss = this.#loss
    const rate = pacingRate(tcb)
    for (;;) {
      const missing = loss.nextToRetransmit(tcb)
      if (missing <= 0) return true
      const at = loss.retransmitFrom
      const room = loss.room(tcb)
      if (room < Math.min(mss, missing)) return false
      if (rate > 0 && this.#isHeld(tcb)) return false
      if (tcb.path.room <= 0) {
        awaitRoom(tcb, this.#ctx.now)
        return false
      }
      // Of one transmission, what may go now goes together.
      let length = Math.min(mss, missing)
      if (missing > mss && room >= 2 * mss) {
        length = Math.min(room, missing, this.#largestRun(tcb, mss))
        if (rate > 0) length = Math.min(length, pacingQuantum(rate, mss))
        if (length < missing) length -= length % mss
      }
      if (!this.#resend(tcb, at, length, mss)) return false
      loss.retransmitted(tcb, at, length)
    }
  }

  /** Bytes that may go as one packet, a multiple of `mss`. */
  #largestRun(tcb: Tcb, mss: number): number {
    // A super-segment has one urgent pointer, which would be wrong in all but its first part.
    // Nor would one that says in its first part only that a mark was heard of pass every device.
    const superSegment = tcb.sndUrgent || tcb.ecnReduced ? 0 : tcb.path.superSegment
    if (superSegment === 0) return mss
    const largest = Math.floor((superSegment - tcb.path.headers - TCP_MAX_OPTIONS) / mss) * mss
    return Math.max(mss, Math.min(largest, burstSize(tcb, mss, this.#ctx.sysctl.ipv4)))
  }

  /** `length` counts FIN. */
  #resend(tcb: Tcb, seq: number, length: number, mss: number): boolean {
    if (tcb.retransmitStart === Infinity) tcb.retransmitStart = this.#ctx.now
    if (tcb.mtuSearch !== null) tcb.mtuSearch.size = 0 // whatever is heard of the probe now tells nothing
    const segments = Math.max(1, Math.ceil(length / mss))
    tcb.totalRetransmits += segments
    tcb.bytesRetransmitted += length
    this.#ctx.mib.tcp[TcpMib.RetransSegs]! += segments
    const sent = this.#sendData(tcb, seq, length, mss, true)
    if (!sent) this.#ctx.mib.tcpExt[TcpExtMib.TCPRetransFail]!++
    return sent
  }

  #sendNew(tcb: Tcb, mss: number): void {
    const end = tcb.dataEnd
    this.#restartAfterIdle(tcb)
    const rate = pacingRate(tcb)
    if (tcb.mtuSearch !== null && !this.#probeMtu(tcb)) return
    while (!tcb.finSent) {
      const unsent = (end - tcb.sndNxt) | 0
      if (unsent === 0) {
        if (tcb.finQueued) this.#sendFin(tcb)
        else if (this.#loss.room(tcb) > 0) this.#noteIdle(tcb)
        return
      }
      const wnd = (tcb.windowEnd - tcb.sndNxt) | 0
      const room = this.#loss.room(tcb)
      const next = Math.min(unsent, mss)
      if (wnd < next && room >= next) this.#peerLimits = true
      if (wnd <= 0) return
      let length = Math.min(unsent, wnd, room)
      if (length > mss) length = Math.min(length, this.#largestRun(tcb, mss))
      // Whole segments, but for the end of what there is, if that may go.
      const small = length % mss
      if (small !== 0 && (length < unsent || this.#holdSmall(tcb, length))) length -= small
      if (length <= 0) return
      if (tcb.path.room <= 0) {
        awaitRoom(tcb, this.#ctx.now)
        return
      }
      if (rate > 0) {
        if (this.#isHeld(tcb)) return
        length = Math.min(length, pacingQuantum(rate, mss))
      }
      if (!this.#sendData(tcb, tcb.sndNxt, length, mss, false)) return
    }
  }

  /** All has been sent, and more might be: the program has no more, or has no room for it. */
  #noteIdle(tcb: Tcb): void {
    this.#loss.applicationLimited(tcb)
    const { length, limit } = tcb.sendQueue
    if (length < limit) return
    const { now, sysctl } = this.#ctx
    if (length >= sendLimit(tcb, sysctl.ipv4.tcp_wmem_max)) beginLimit(tcb, Limit.SEND_BUFFER, now)
  }

  /** It is not time yet for the next packet: look again then. */
  #isHeld(tcb: Tcb): boolean {
    if (this.#ctx.now >= tcb.paceAt) return false
    tcb.roomAt = tcb.paceAt
    return true
  }

  /** A segment larger than others, to see whether it gets through; `false`: nothing may be sent before it. */
  #probeMtu(tcb: Tcb): boolean {
    const { now, sysctl } = this.#ctx
    const inFlight = this.#loss.inFlight(tcb)
    const length = probeLength(tcb, sysctl.ipv4, this.#loss.room(tcb), inFlight, now)
    if (length <= 0) return length !== Probe.WAIT
    const { sndNxt } = tcb
    if (tcb.path.room > 0 && this.#sendData(tcb, sndNxt, length, length, false))
      probeSent(tcb, sndNxt, length)
    return true
  }

  /** What the network took before a pause says little of what it takes now (RFC 5681 §4.1). */
  #restartAfterIdle(tcb: Tcb): void {
    if (tcb.sndUna !== tcb.sndNxt) return
    const { now, sysctl } = this.#ctx
    const idle = now - tcb.lastSent
    tcb.congestion.onSendStart(now, tcb.appLimited > 0, tcb.rtt.srtt)
    if (idle <= tcb.rtt.timeout) return
    if (sysctl.ipv4.tcp_slow_start_after_idle !== 0) tcb.congestion.onIdle(idle, tcb.rtt.timeout)
  }

  /** Nagle in Minshall's variant, as Linux: one small segment at a time is on its way. FIN ends the waiting. */
  #holdSmall(tcb: Tcb, length: number): boolean {
    if (tcb.noDelay || (tcb.finQueued && ((tcb.sndNxt + length) | 0) === tcb.dataEnd)) return false
    return seqGt(tcb.smallEnd, tcb.sndUna) && !seqGt(tcb.smallEnd, tcb.sndNxt)
  }

  /**
   * FIN alone. A closed window does not keep it back: it takes no buffer (and a peer that reads no more would never
   * learn of it).
   */
  #sendFin(tcb: Tcb): void {
    this.#sendData(tcb, tcb.sndNxt, 0, tcb.mss, false)
  }

  /** A segment, or a super-segment, of data from `seq` on; FIN goes with the last byte. */
  #sendData(tcb: Tcb, seq: number, count: number, mss: number, again: boolean): boolean {
    const ctx = this.#ctx
    const { now, mib } = ctx
    const offset = (seq - tcb.dataSeq) | 0
    let length = count
    const end = tcb.dataEnd
    if (seqGt((seq + length) | 0, end)) length = (end - seq) | 0 // FIN was counted
    const fin = tcb.finQueued && ((seq + length) | 0) === end && (again ? tcb.finSent : true)
    const { sendQueue } = tcb
    const lent = length > mss && sendQueue.lends(offset, length)
    const packet = ctx.pool.allocate(TCP_MIN_HEADER + TCP_MAX_OPTIONS + (lent ? 0 : length), HEADROOM)
    if (packet === null) {
      awaitRoom(tcb, now)
      return false
    }
    const at = packet.put(TCP_MIN_HEADER)
    this.#writeOptions(tcb, packet)
    let flags: number = TcpFlag.ACK
    // New data alone can be marked (RFC 3168 §6.1.5), and the first of it says that a mark was heard of.
    const capable = tcb.ecn && !again && length > 0
    if (capable && tcb.ecnReduced) {
      flags |= TcpFlag.CWR
      tcb.ecnReduced = false
    }
    if (fin) flags |= TcpFlag.FIN
    // A super-segment has it too, so that who puts its parts together again need not wait for more.
    if (length > mss || (length > 0 && ((seq + length) | 0) === end)) flags |= TcpFlag.PSH
    this.#writeHeader(tcb, packet, at, seq, flags)
    if (lent) sendQueue.lend(offset, length, packet)
    else if (length > 0) sendQueue.copyTo(offset, length, packet.bytes, packet.put(length))
    let segments = 1
    if (length > mss) {
      packet.gsoType = Gso.TCPV4
      packet.gsoSize = mss
      packet.gsoSegments = segments = Math.ceil(length / mss)
    }
    const next = (seq + length + (fin ? 1 : 0)) | 0
    if (seqGt(next, tcb.sndNxt)) {
      tcb.sndNxt = next
      if (length > 0 && length % mss !== 0) tcb.smallEnd = next
      if (fin) tcb.finSent = true
      this.#loss.sent(tcb, seq, next, segments, now)
      mib.tcpExt[TcpExtMib.TCPOrigDataSent]! += length > 0 ? segments : 0
    }
    // Data that answers data: acknowledgments may wait for more of it.
    if (length > 0 && now - tcb.lastReceived < DELAYED_ACK) tcb.interactive = true
    tcb.lastSent = now
    tcb.roomSince = Infinity
    if (tcb.retransmitAt === Infinity || (again && seq === tcb.sndUna))
      tcb.retransmitAt = now + tcb.rtt.timeout
    tcb.bytesSent += length
    if (length > 0) {
      tcb.dataSegmentsOut += segments
      pace(tcb, length, now)
    }
    this.#send(tcb, packet, at, segments, capable ? Ecn.ECT_0 : Ecn.NOT_ECT)
    return true
  }

  #sendEmpty(tcb: Tcb, seq: number, flags: number): void {
    const packet = this.#ctx.pool.allocate(TCP_MIN_HEADER + TCP_MAX_OPTIONS, HEADROOM)
    if (packet === null) {
      // An acknowledgment that could not be made is not forgotten.
      if (tcb.delayedAckAt === Infinity && (flags & TcpFlag.RST) === 0) {
        tcb.delayedAckAt = this.#ctx.now + DELAYED_ACK
      }
      return
    }
    const at = packet.put(TCP_MIN_HEADER)
    this.#writeOptions(tcb, packet)
    this.#writeHeader(tcb, packet, at, seq, flags)
    this.#send(tcb, packet, at, 1, Ecn.NOT_ECT)
  }

  /** The fixed header; whatever has ACK acknowledges all, and offers the window. */
  #writeHeader(tcb: Tcb, packet: Packet, at: number, seq: number, flags: number): void {
    let wnd = 0
    if ((flags & TcpFlag.RST) === 0) {
      const { tcpExt } = this.#ctx.mib
      const before = tcb.rcvWnd
      wnd = selectWindow(tcb)
      if (wnd === 0 && before > 0) tcpExt[TcpExtMib.TCPToZeroWindowAdv]!++
      else if (wnd > 0 && before === 0) tcpExt[TcpExtMib.TCPFromZeroWindowAdv]!++
      tcb.rcvWnd = wnd
      tcb.rcvWup = tcb.rcvNxt
      const edge = (tcb.rcvNxt + wnd) | 0
      if (seqGt(edge, tcb.rcvEdge)) tcb.rcvEdge = edge
      tcb.ackPending = false
      tcb.hasDsack = false
      tcb.delayedAckAt = Infinity
      if (tcb.quickAcks > 0) tcb.quickAcks--
    }
    const { localPort, remotePort } = tcb.path
    const echo = tcb.ecnEcho && (flags & TcpFlag.RST) === 0 ? TcpFlag.ECE : 0
    writeTcpHeader(packet, at, localPort, remotePort, seq, tcb.rcvNxt, flags | echo, wnd >>> tcb.rcvScale)
    if (!tcb.sndUrgent) return
    const urgent = urgentPointer(tcb, seq)
    if (urgent > 0) writeUrgent(packet, at, urgent)
  }

  #writeOptions(tcb: Tcb, packet: Packet): void {
    if (tcb.timestamps) {
      packet.end += writeTimestamps(
        packet.bytes,
        packet.end,
        timestampAt(this.#ctx.now, tcb.tsOffset),
        tcb.tsRecent,
      )
    }
    if (!tcb.outOfOrder.isEmpty || tcb.hasDsack) {
      const count = this.#sackBlocks(tcb)
      if (tcb.hasDsack) {
        const { tcpExt } = this.#ctx.mib
        tcpExt[seqLt(tcb.dsackLeft, tcb.rcvNxt) ? TcpExtMib.TCPDSACKOldSent : TcpExtMib.TCPDSACKOfoSent]!++
      }
      packet.end += writeSack(packet.bytes, packet.end, this.#sackLeft, this.#sackRight, count)
    }
  }

  /** Fills in the blocks to send and gives their number: a duplicate first, then the newest ranges (RFC 2018 §4). */
  #sackBlocks(tcb: Tcb): number {
    if (!tcb.sack) return 0
    const room = tcb.timestamps ? MAX_SACK_BLOCKS - 1 : MAX_SACK_BLOCKS
    let count = 0
    if (tcb.hasDsack) {
      this.#sackLeft[0] = tcb.dsackLeft
      this.#sackRight[0] = tcb.dsackRight
      count = 1
    }
    return tcb.outOfOrder.sackBlocks(this.#sackLeft, this.#sackRight, count, room)
  }

  #syncMss(tcb: Tcb, mtu: number): void {
    const options = tcb.timestamps ? TCP_TIMESTAMPS_LENGTH : 0
    let size = Math.min(searchedMtu(tcb, mtu) - tcb.path.headers, tcb.peerMss)
    // Never more than half of the largest window (`tcp_bound_to_half_wnd`), so that a small one can be filled.
    if (tcb.maxSndWnd > 0) {
      const bound = tcb.maxSndWnd > 536 ? tcb.maxSndWnd >> 1 : tcb.maxSndWnd
      size = Math.min(size, Math.max(bound, 68 - tcb.path.headers))
    }
    const smallest = this.#ctx.sysctl.ipv4.tcp_min_snd_mss
    tcb.mssMtu = mtu
    tcb.mss = Math.max(size, smallest) - options
    tcb.congestion.setMss(tcb.mss)
    tcb.transmissions.mss = tcb.mss
  }

  #send(tcb: Tcb, packet: Packet, at: number, segments: number, ecn: number): void {
    tcb.segmentsOut += segments
    this.#ctx.mib.tcp[TcpMib.OutSegs]! += segments
    tcb.path.send(packet, at, ecn)
  }
}

/** Nothing can leave now: looks again, the more seldom the longer that lasts, since each of many connections does. */
function awaitRoom(tcb: Tcb, now: number): void {
  tcb.roomSince = Math.min(tcb.roomSince, now)
  const wait = Math.max((now - tcb.roomSince) * ROOM_RETRY_PART, ROOM_RETRY)
  tcb.roomAt = now + Math.min(wait, LONGEST_ROOM_RETRY)
}
