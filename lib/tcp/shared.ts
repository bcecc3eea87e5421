/**
 * What the parts of TCP share: the endpoints by their four-tuple, the clock, who answers without a connection, the
 * secrets that numbers are made of, and how a connection's block is made from the settings.
 */
import { EndpointTable } from '../demux/endpoint-table.ts'
import type { Softirq } from '../device/softirq.ts'
import type { Ipv4Context } from '../ipv4/context.ts'
import type { Ipv4 } from '../ipv4/ipv4.ts'
import { Metric } from '../route/rtnetlink.ts'
import type { CongestionControlName } from '../sysctl/tcp-settings.ts'
import { MICROSECOND, MILLISECOND, SECOND } from '../time/clock.ts'
import type { TimerWheel } from '../time/timer-wheel.ts'
import { ChallengeAckLimit } from './challenge-ack.ts'
import { congestionControl } from './congestion/registry.ts'
import type { HalfOpen } from './half-open.ts'
import { Ipv4Path } from './ipv4-path.ts'
import { InitialSequence } from './isn.ts'
import type { Listener } from './listener.ts'
import { TcpMemory } from './memory.ts'
import { SavedMetrics } from './metrics.ts'
import { RingStore } from './receive-ring.ts'
import { TcpReplies } from './replies.ts'
import { SynCookies } from './syn-cookies.ts'
import { Tcb, type TcbMemory, type TcbSettings } from './tcb.ts'
import type { TimeWait } from './time-wait.ts'
import { TransmissionStore } from './transmissions.ts'
import { WriteArena } from './write-arena.ts'

/** What a segment can be for. */
export type Endpoint = Tcb | HalfOpen | TimeWait | Listener

export class TcpShared {
  readonly ip: Ipv4
  readonly ctx: Ipv4Context
  readonly softirq: Softirq
  readonly wheel: TimerWheel
  readonly endpoints: EndpointTable<Endpoint>
  readonly replies: TcpReplies
  readonly limit: ChallengeAckLimit
  readonly isn: InitialSequence
  readonly cookies: SynCookies
  readonly memory: TcpMemory
  readonly metrics: SavedMetrics
  readonly #stores: TcbMemory

  constructor(ip: Ipv4, softirq: Softirq, wheel: TimerWheel) {
    const { ctx } = ip
    this.ip = ip
    this.ctx = ctx
    this.softirq = softirq
    const memory = new TcpMemory(ctx)
    this.memory = memory
    this.metrics = new SavedMetrics(ctx.sysctl.ipv4)
    this.#stores = {
      memory,
      rings: new RingStore({ memory }),
      writes: new WriteArena(memory),
      transmissions: new TransmissionStore(),
    }
    this.wheel = wheel
    this.endpoints = new EndpointTable(ctx.hash)
    this.replies = new TcpReplies(ip)
    this.limit = new ChallengeAckLimit(ctx.sysctl.ipv4, ctx.random)
    this.isn = new InitialSequence(ctx.random)
    this.cookies = new SynCookies(ctx.random)
  }

  /** The buffers of a connection; 0: as the sysctls say. */
  settings(receiveBuffer: number, sendBuffer: number): TcbSettings {
    const { ipv4 } = this.ctx.sysctl
    return {
      // Linux counts what a buffer costs beside its bytes: half of it is window.
      receiveBuffer: receiveBuffer !== 0 ? receiveBuffer : ipv4.tcp_rmem_default >>> 1,
      receiveBufferMax:
        receiveBuffer !== 0 ? receiveBuffer : Math.max(ipv4.tcp_rmem_max, ipv4.tcp_rmem_default) >>> 1,
      receiveBufferFixed: receiveBuffer !== 0,
      sendBuffer: sendBuffer !== 0 ? sendBuffer : ipv4.tcp_wmem_default,
      sendBufferFixed: sendBuffer !== 0,
    }
  }

  /** The shift that lets the largest buffer be offered (`tcp_select_initial_window`). */
  windowScale({ receiveBufferMax, receiveBufferFixed }: TcbSettings): number {
    const { sysctl } = this.ctx
    let space = receiveBufferFixed ? receiveBufferMax : Math.max(2 * receiveBufferMax, sysctl.core.rmem_max)
    let scale = 0
    while (space > 65535 && scale < 14) {
      space >>>= 1
      scale++
    }
    return scale
  }

  /** A new block. @param congestion `null`: as the sysctl says @param expire called when its timer fires */
  createTcb(
    key: Int32Array,
    settings: TcbSettings,
    congestion: CongestionControlName | null,
    expire: (tcb: Tcb) => void,
  ): Tcb {
    const { ctx } = this
    const path = new Ipv4Path(this.ip, key, ctx.random.int32())
    const tcb = new Tcb(
      key,
      path,
      congestionControl(congestion ?? ctx.sysctl.ipv4.tcp_congestion_control, ctx.random),
      settings,
      this.#stores,
      ctx.time,
      expire,
    )
    const { ipv4 } = ctx.sysctl
    tcb.rtt.minRto = ipv4.tcp_rto_min_us * MICROSECOND
    tcb.rtt.maxRto = ipv4.tcp_rto_max_ms * MILLISECOND
    tcb.rtt.minRttSpan = ipv4.tcp_min_rtt_wlen * SECOND
    tcb.reordering = ipv4.tcp_reordering
    tcb.dsack = ipv4.tcp_dsack !== 0
    return tcb
  }

  /** With `tcp_timestamps` at 2 the clock begins at the same place for everybody. */
  timestampOffset(key: Int32Array): number {
    return this.ctx.sysctl.ipv4.tcp_timestamps === 1 ? this.isn.timestampOffset(key) : 0
  }
}

/**
 * The window that a SYN offers: whole segments, and no more than can be said without a scale, or, for peers that take
 * it for a signed number, than half of that (`tcp_workaround_signed_windows`).
 * @param segments the route's `initrwnd`; 0: as many as there is room for
 */
export function initialWindow(buffer: number, mss: number, segments: number, isSigned: boolean): number {
  const whole = buffer > mss ? buffer - (buffer % mss) : buffer
  const space = Math.min(whole, isSigned ? 32767 : 65535)
  return segments > 0 ? Math.min(space, segments * mss) : space
}

/** What the route says of timeouts and acknowledgments, before the handshake is measured. */
export function takeRouteMetrics(tcb: Tcb): void {
  const { path } = tcb
  tcb.quickAckRoute = path.metric(Metric.QUICKACK) !== 0
  if (path.isLocked(Metric.RTO_MIN)) tcb.rtt.minRto = path.metric(Metric.RTO_MIN) * MILLISECOND
}

/** Before the peer has sent anything (`tcp_initialize_rcv_mss`). */
export function initialRcvMss(tcb: Tcb): number {
  return Math.max(88, Math.min(tcb.announcedMss, 536))
}
