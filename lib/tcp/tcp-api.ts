/**
 * `stack.tcp`: connecting and listening, with the options of both looked at.
 */
import { formatIpv4, parseIpv4 } from '../address/ipv4-address.ts'
import { errnoName, invalidArgument, TunstackError } from '../errors.ts'
import { CONGESTION_CONTROLS, type CongestionControlName } from '../sysctl/tcp-settings.ts'
import { MICROSECOND, MILLISECOND, SECOND } from '../time/clock.ts'
import type { Listener } from './listener.ts'
import type { Tcp, TcpUsage } from './tcp.ts'
import { TcpCatchAll, TcpServer } from './tcp-server.ts'
import { TcpSocket } from './tcp-socket.ts'
import type { TcpEventListener } from './trace.ts'

/** What of `AbortSignal` is used; any runtime's will do. */
export interface TcpAbortSignal {
  readonly aborted: boolean
  readonly reason?: unknown
  addEventListener(type: 'abort', listener: () => void, options?: { once?: boolean }): void
  removeEventListener(type: 'abort', listener: () => void): void
}

/** Options of a connection, given when it is asked for or by the listener. */
export interface TcpSocketOptions {
  /** `TCP_NODELAY` */
  noDelay?: boolean
  /** `SO_KEEPALIVE` */
  keepAlive?: boolean
  /** `SO_RCVBUF` in bytes of data: fixed then; otherwise it grows as `tcp_rmem` says. */
  receiveBuffer?: number
  /** `SO_SNDBUF` in bytes of data: fixed then; otherwise it grows with the congestion window. */
  sendBuffer?: number
  /** `TCP_MAXSEG`, 88…32767: bytes of a segment at most, in both directions; as the path has it by default. */
  maxSegment?: number
  /** `TCP_CONGESTION`; as `tcp_congestion_control` says by default. */
  congestion?: CongestionControlName
  /** `SO_MAX_PACING_RATE`: bytes per second that are never exceeded; no limit by default. */
  maxPacingRate?: number
}

/** One destination from one source; 0: not known. */
export interface TcpDestinationMetrics {
  readonly source: string
  readonly destination: string
  /** Seconds since it was last updated. */
  readonly age: number
  /** Microseconds. */
  readonly rtt: number
  readonly rttvar: number
  /** Segments. */
  readonly ssthresh: number
  readonly cwnd: number
  readonly reordering: number
}

export interface TcpConnectOptions extends TcpSocketOptions {
  address: string
  port: number
  /** An address of this host; the route's choice by default. */
  localAddress?: string
  /** 0 or absent: an unused one is picked (RFC 6056). */
  localPort?: number
  /** Gives the attempt up. */
  signal?: TcpAbortSignal
  /** `TCP_USER_TIMEOUT` in milliseconds. */
  userTimeout?: number
  /** Name of a device to leave by, whatever the routes say. */
  device?: string
  /** The whole TOS octet; ECN is not taken from it. */
  tos?: number
  ttl?: number
  mark?: number
  /** Hears of states, losses and the congestion window from the first SYN on. */
  events?: TcpEventListener
}

export interface TcpListenOptions extends TcpSocketOptions {
  /** An address of this host; all by default. */
  address?: string
  /** 0: an unused one is picked. */
  port: number
  /** Connections that may wait to be accepted, `somaxconn` at most; 511 by default. */
  backlog?: number
}

export interface TcpListenAllOptions extends TcpSocketOptions {
  /** Requests that may wait for the program's answer and connections that may wait for it; 511 by default. */
  backlog?: number
}

const DEFAULT_BACKLOG = 511

export class TcpApi {
  readonly #tcp: Tcp

  /** @internal */
  constructor(tcp: Tcp) {
    this.#tcp = tcp
  }

  /** What there is of it, as `/proc/net/sockstat` counts it. */
  get usage(): TcpUsage {
    return this.#tcp.usage
  }

  /** What connections have learnt about destinations, for those that come after, as `ip tcp_metrics show` has it. */
  get metrics(): TcpDestinationMetrics[] {
    const { metrics, ip } = this.#tcp
    return [...metrics].map((entry) => ({
      source: formatIpv4(entry.source),
      destination: formatIpv4(entry.destination),
      age: (ip.ctx.now - entry.stamp) / SECOND,
      rtt: Math.floor(entry.rtt / MICROSECOND),
      rttvar: Math.floor(entry.rttvar / MICROSECOND),
      ssthresh: entry.ssthresh,
      cwnd: entry.cwnd,
      reordering: entry.reordering,
    }))
  }

  /** Forgets {@link metrics}, of one destination or all; gives how many. @throws TunstackError `ERR_INVALID_ARG_VALUE` */
  flushMetrics(destination?: string): number {
    const { metrics } = this.#tcp
    if (destination === undefined) return metrics.flush()
    const address = parseIpv4(destination)
    return metrics.flush((entry) => entry.destination === address)
  }

  /**
   * Connects; the socket is there when the handshake is done.
   * @throws TunstackError `ECONNREFUSED`, `ETIMEDOUT`, `ENETUNREACH`, `EHOSTUNREACH`, `EADDRNOTAVAIL`, `EADDRINUSE`,
   * `ERR_INVALID_ARG_VALUE`, `ENODEV`, `ERR_STACK_CLOSED`; the reason of `signal`
   */
  async connect(options: TcpConnectOptions): Promise<TcpSocket> {
    const tcp = this.#tcp
    this.#checkOpen()
    const { signal } = options
    const remote = parseIpv4(options.address)
    const port = portNumber('port', options.port, 1)
    const local = options.localAddress === undefined ? 0 : parseIpv4(options.localAddress)
    const localPort = portNumber('localPort', options.localPort ?? 0, 0)
    const maxPacingRate = checkPacingRate(options.maxPacingRate)
    const userTimeout = within('userTimeout', options.userTimeout ?? 0, 0, 0x7fffffff)
    if (signal !== undefined && typeof signal?.addEventListener !== 'function') {
      throw invalidArgument('signal', signal, 'an AbortSignal')
    }
    if (signal?.aborted === true) throw signal.reason
    const tcb = tcp.connect(remote, port, local, localPort, {
      ...buffers(options),
      device: options.device === undefined ? 0 : tcp.deviceIndex(options.device),
      tos: within('tos', options.tos ?? 0, 0, 255),
      ttl: options.ttl === undefined ? 0 : within('ttl', options.ttl, 1, 255),
      mark: within('mark', options.mark ?? 0, 0, 0xffffffff),
      congestion: congestionOf(options),
      maxSegment: maxSegmentOf(options),
      events: options.events ?? null,
    })
    if (typeof tcb === 'number') throw failure(tcb, `${options.address}:${port}`, 'connect')
    tcb.noDelay = options.noDelay ?? false
    tcb.userTimeout = userTimeout * MILLISECOND
    tcb.maxPacingRate = maxPacingRate
    if (options.keepAlive === true) tcp.setKeepAlive(tcb, true)
    const socket = new TcpSocket(tcp, tcb)
    if (signal === undefined) return socket.opened()
    let abort = (): void => {}
    const aborted = new Promise<never>((_, reject) => {
      abort = () => {
        reject(signal.reason) // before the end of the attempt is told
        void socket.close()
      }
    })
    signal.addEventListener('abort', abort, { once: true })
    const opened = socket.opened()
    try {
      return await Promise.race([opened, aborted])
    } catch (error) {
      opened.catch(() => {}) // it ends with the close above
      throw error
    } finally {
      signal.removeEventListener('abort', abort)
    }
  }

  /**
   * Listens at a port.
   * @throws TunstackError `EADDRINUSE`, `EADDRNOTAVAIL`, `ERR_INVALID_ARG_VALUE`, `ERR_STACK_CLOSED`
   */
  listen(options: TcpListenOptions): TcpServer {
    const tcp = this.#tcp
    this.#checkOpen()
    const address = options.address === undefined ? 0 : parseIpv4(options.address)
    const port = portNumber('port', options.port, 0)
    const backlog = within('backlog', options.backlog ?? DEFAULT_BACKLOG, 0, 0x7fffffff)
    const settings = settingsOf(options)
    return new TcpServer(tcp, (user) =>
      configured(tcp.handshakes.listen(address, port, backlog, user), `port ${port}`, settings),
    )
  }

  /**
   * Hears of every connection that is asked of this host, at whatever address and port, and that no server listens
   * for. With a route such as `local 0.0.0.0/0 dev lo` that is every connection of whoever routes through it.
   * @throws TunstackError `EADDRINUSE` if there is one already, `ERR_INVALID_ARG_VALUE`, `ERR_STACK_CLOSED`
   */
  listenAll(options: TcpListenAllOptions = {}): TcpCatchAll {
    const tcp = this.#tcp
    this.#checkOpen()
    const backlog = within('backlog', options.backlog ?? DEFAULT_BACKLOG, 1, 0x7fffffff)
    const settings = settingsOf(options)
    return new TcpCatchAll(tcp, (user) =>
      configured(tcp.handshakes.listenAll(backlog, user), 'every port', settings),
    )
  }

  #checkOpen(): void {
    if (this.#tcp.closed)
      throw new TunstackError('ERR_STACK_CLOSED', 'this stack was closed; make another one')
  }
}

type ListenerSettings = Pick<
  Listener,
  'noDelay' | 'keepAlive' | 'receiveBuffer' | 'sendBuffer' | 'congestion' | 'maxPacingRate' | 'maxSegment'
>

/** What the connections of a listener get, checked before there is one. */
function settingsOf(options: TcpSocketOptions): ListenerSettings {
  return {
    noDelay: options.noDelay ?? false,
    keepAlive: options.keepAlive ?? false,
    ...buffers(options),
    congestion: congestionOf(options),
    maxPacingRate: checkPacingRate(options.maxPacingRate),
    maxSegment: maxSegmentOf(options),
  }
}

function configured(listener: Listener | number, what: string, settings: ListenerSettings): Listener {
  if (typeof listener === 'number') throw failure(listener, what, 'listen')
  return Object.assign(listener, settings)
}

function buffers(options: TcpSocketOptions): { receiveBuffer: number; sendBuffer: number } {
  const size = (name: string, value: number | undefined): number =>
    value === undefined ? 0 : within(name, value, 2048, 0x3fffffff)
  return {
    receiveBuffer: size('receiveBuffer', options.receiveBuffer),
    sendBuffer: size('sendBuffer', options.sendBuffer),
  }
}

function congestionOf({ congestion }: TcpSocketOptions): CongestionControlName | null {
  if (congestion === undefined) return null
  if (CONGESTION_CONTROLS.includes(congestion)) return congestion
  throw invalidArgument('congestion', congestion, `one of ${CONGESTION_CONTROLS.join(', ')}`)
}

/** Bytes per second; absent: no limit @throws TunstackError `ERR_INVALID_ARG_VALUE` */
function checkPacingRate(rate: number = Infinity): number {
  if (rate === Infinity || (typeof rate === 'number' && rate >= 1)) return rate
  throw invalidArgument('maxPacingRate', rate, 'bytes per second, 1 or more')
}

function maxSegmentOf({ maxSegment }: TcpSocketOptions): number {
  return maxSegment === undefined ? Infinity : within('maxSegment', maxSegment, 88, 32767)
}

function portNumber(name: string, value: number, least: number): number {
  return within(name, value, least, 0xffff)
}

function within(name: string, value: number, low: number, high: number): number {
  if (!Number.isInteger(value) || value < low || value > high) {
    throw invalidArgument(name, value, `${low}…${high}`)
  }
  return value
}

const MEANINGS: Partial<Record<string, string>> = {
  EADDRINUSE: 'is in use',
  EADDRNOTAVAIL: 'has no address or port of this host left for it',
  ENETUNREACH: 'cannot be reached: there is no route',
}

function failure(errno: number, what: string, syscall: string): TunstackError {
  const code = errnoName(errno)
  return new TunstackError(code, `${what} ${MEANINGS[code] ?? `failed with ${code}`}`, {
    syscall,
    value: what,
  })
}
