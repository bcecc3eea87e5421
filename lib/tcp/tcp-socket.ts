/**
 * A TCP connection as a program has it: promises over the block and the queues. What comes up in packet processing
 * is taken note of there and delivered afterwards, so that a program never runs inside of it. Bytes written are
 * copied; a write is done when there is room for the next one, not when the peer has it.
 */
import { formatIpv4 } from '../address/ipv4-address.ts'
import { Errno, errnoName, invalidArgument, TunstackError } from '../errors.ts'
import { type Clock, MILLISECOND } from '../time/clock.ts'
import { setReceiveBuffer } from './receive-window.ts'
import { type Tcb, TcbEvent, TcpState, type TcpStateName, tcpStateName } from './tcb.ts'
import type { Tcp } from './tcp.ts'
import { type TcpInfo, tcpInfo } from './tcp-info.ts'
import type { TcpEventListener } from './trace.ts'
import { urgentLength } from './urgent.ts'
import { Waiting } from './waiting.ts'

/** Longest chunk that iteration gives. */
const CHUNK = 65536

/** A read that waits, and where the bytes go. */
class Reading extends Waiting<number> {
  readonly target: Uint8Array
  readonly offset: number
  readonly length: number

  constructor(clock: Clock, target: Uint8Array, offset: number, length: number) {
    super(clock)
    this.target = target
    this.offset = offset
    this.length = length
  }
}

const MESSAGES: Partial<Record<string, string>> = {
  ECONNREFUSED: 'connection refused by',
  ECONNRESET: 'connection reset by',
  ECONNABORTED: 'connection aborted by this end, to',
  ETIMEDOUT: 'no answer in time from',
  EPIPE: 'the connection is closed for writing, to',
  ENETUNREACH: 'no route to',
  EHOSTUNREACH: 'no way to host',
  ENETDOWN: 'the stack was closed; there was a connection to',
}

export class TcpSocket implements AsyncIterable<Uint8Array<ArrayBuffer>> {
  /** @internal */
  eventsPending = false
  readonly #tcp: Tcp
  readonly #tcb: Tcb
  #opening: Waiting<TcpSocket> | null = null
  #reader: Reading | null = null
  #readable: Waiting<void> | null = null
  #writers: Waiting<void>[] | null = null
  #closers: Waiting<void>[] | null = null
  /** Told when the peer has sent urgent data, before it is read (RFC 9293 §3.8.5). */
  onUrgent: (() => void) | null = null
  #ended = false
  #closed = false

  /** @internal */
  constructor(tcp: Tcp, tcb: Tcb) {
    this.#tcp = tcp
    this.#tcb = tcb
    tcb.user = this
    if (tcb.events !== 0) tcp.softirq.eventPending(this)
  }

  get localAddress(): string {
    return formatIpv4(this.#tcb.path.local)
  }

  get localPort(): number {
    return this.#tcb.path.localPort
  }

  get remoteAddress(): string {
    return formatIpv4(this.#tcb.path.remote)
  }

  get remotePort(): number {
    return this.#tcb.path.remotePort
  }

  /** `'ESTABLISHED'`, `'CLOSE_WAIT'`, … */
  get state(): TcpStateName {
    return tcpStateName(this.#tcb.state)
  }

  /** Bytes that have come and wait to be read. */
  get readableLength(): number {
    return this.#tcb.ring.length
  }

  /** Bytes written that the peer has not acknowledged. */
  get writableLength(): number {
    return this.#tcb.sendQueue.length
  }

  /** What `TCP_INFO` says. */
  get info(): TcpInfo {
    this.#tcp.softirq.readClock()
    return tcpInfo(this.#tcb, this.#tcp.ip.ctx)
  }

  /** Hears of states, losses and the congestion window as they change; `null`: nobody does. */
  set events(listener: TcpEventListener | null) {
    this.#tcb.trace.listener = listener
  }

  get events(): TcpEventListener | null {
    return this.#tcb.trace.listener
  }

  /**
   * Bytes from here to the end of what the peer calls urgent; 0 if there is none, or it was read. They are read in
   * their place in the stream.
   */
  get urgentLength(): number {
    return urgentLength(this.#tcb)
  }

  /** Which algorithm of congestion control it has (`TCP_CONGESTION`). */
  get congestion(): string {
    return this.#tcb.congestion.name
  }

  /** `TCP_NODELAY`: small segments do not wait for the acknowledgment of those before. */
  get noDelay(): boolean {
    return this.#tcb.noDelay
  }

  set noDelay(on: boolean) {
    this.#tcb.noDelay = on
    if (on) this.#tcp.flush(this.#tcb)
  }

  /**
   * `SO_RCVBUF`: bytes that may wait to be read. Set, it does not grow any more; what was offered to the peer already
   * is taken back by nobody (RFC 9293 §3.8.6.2.1). At least 1.
   */
  get receiveBuffer(): number {
    return this.#tcb.receiveBuffer
  }

  set receiveBuffer(bytes: number) {
    const tcb = this.#tcb
    tcb.receiveBufferMax = atLeast('receiveBuffer', bytes, 1)
    setReceiveBuffer(tcb, bytes)
    tcb.rcvSsthresh = Math.min(tcb.rcvSsthresh, bytes)
  }

  /** `SO_SNDBUF`: bytes that may wait to be acknowledged before a write waits. Set, it does not grow any more. At least 1. */
  get sendBuffer(): number {
    return this.#tcb.sendQueue.limit
  }

  set sendBuffer(bytes: number) {
    this.#tcb.sendQueue.limit = atLeast('sendBuffer', bytes, 1)
    this.#tcb.sendBufferFixed = true
    if (this.#hasRoom) this.#wakeWriters()
  }

  /** `IP_TOS` of what is sent from now on: DSCP, without ECN. 0…255. */
  get tos(): number {
    return this.#tcb.path.tos
  }

  set tos(octet: number) {
    this.#tcb.path.tos = octetOf('tos', octet) & 0xfc
  }

  /** `IP_TTL` of what is sent from now on, 1…255; 0: as the route or the host has it. */
  get ttl(): number {
    return this.#tcb.path.ttl
  }

  set ttl(hops: number) {
    this.#tcb.path.ttl = octetOf('ttl', hops)
  }

  /** `SO_KEEPALIVE`, with the times of the sysctls unless others are given, in milliseconds. */
  setKeepAlive(on: boolean, options: { idle?: number; interval?: number; count?: number } = {}): this {
    const { idle, interval, count } = options
    if (idle !== undefined) this.#tcb.keepIdle = atLeast('idle', idle, 1) * MILLISECOND
    if (interval !== undefined) this.#tcb.keepInterval = atLeast('interval', interval, 1) * MILLISECOND
    if (count !== undefined) this.#tcb.keepCount = atLeast('count', count, 1)
    this.#tcp.setKeepAlive(this.#tcb, on)
    return this
  }

  /** `TCP_USER_TIMEOUT` in milliseconds: how long data may go unacknowledged; 0: as `tcp_retries2` says. */
  get userTimeout(): number {
    return this.#tcb.userTimeout / MILLISECOND
  }

  set userTimeout(milliseconds: number) {
    this.#tcb.userTimeout = atLeast('userTimeout', milliseconds, 0) * MILLISECOND
  }

  /**
   * Sends bytes, in order. Done when the stack has taken them and there is room for more: who waits for it keeps
   * within the send buffer.
   * @throws TunstackError `EPIPE` after {@link end}; `ECONNRESET`, `ETIMEDOUT`, … when the connection is gone
   */
  write(bytes: Uint8Array): Promise<void> {
    return this.#write(bytes, false)
  }

  #write(bytes: Uint8Array, urgent: boolean): Promise<void> {
    if (!(bytes instanceof Uint8Array)) {
      return Promise.reject(invalidArgument('bytes', bytes, 'a Uint8Array'))
    }
    const tcb = this.#tcb
    if (this.#ended || this.#closed) return Promise.reject(this.#error('EPIPE', 'write'))
    if (tcb.state === TcpState.CLOSED) return Promise.reject(this.#deathError('write'))
    if (bytes.length === 0) return Promise.resolve()
    tcb.sendQueue.push(bytes)
    if (urgent) this.#tcp.sendUrgent(tcb)
    else this.#tcp.flush(tcb)
    if (this.#hasRoom) return Promise.resolve()
    const writer = this.#wait<void>()
    this.#writers ??= []
    this.#writers.push(writer)
    return writer.promise
  }

  /** As {@link write}, but urgent: the peer is told of these bytes at once, even if its window is closed. */
  writeUrgent(bytes: Uint8Array): Promise<void> {
    return this.#write(bytes, true)
  }

  /** No more is written: the peer reads to the end. What comes from it can still be read. */
  end(): void {
    if (this.#ended || this.#closed) return
    this.#ended = true
    if (this.#tcb.state !== TcpState.CLOSED) this.#tcp.shutdown(this.#tcb)
  }

  /**
   * Reads what is there, or waits for something, into `target[offset…offset+length)`, and gives how many bytes; 0 at
   * the end. One read at a time.
   * @throws TunstackError `ECONNRESET`, `ETIMEDOUT`, … when the connection is gone, after what had come before;
   * `ERR_INVALID_STATE` while another read waits
   */
  readInto(target: Uint8Array, offset = 0, length: number = target.length - offset): Promise<number> {
    if (!(target instanceof Uint8Array)) {
      return Promise.reject(invalidArgument('target', target, 'a Uint8Array'))
    }
    if (!(offset >= 0 && length >= 0 && offset + length <= target.length)) {
      return Promise.reject(invalidArgument('offset and length', `${offset}, ${length}`, 'within the target'))
    }
    if (this.#reader !== null || this.#readable !== null) return Promise.reject(this.#busy())
    if (length === 0) return Promise.resolve(0)
    if (this.#closed) return Promise.reject(this.#error('ENOTCONN', 'read'))
    const tcb = this.#tcb
    if (tcb.ring.length > 0) return Promise.resolve(this.#take(target, offset, length))
    if (tcb.atEnd) return tcb.readErrno === 0 ? Promise.resolve(0) : Promise.reject(this.#deathError('read'))
    this.#reader = new Reading(this.#tcp.clock, target, offset, length)
    return this.#reader.promise
  }

  /** Chunks as they come, to the end. Leaving the loop leaves the connection as it is. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array<ArrayBuffer>, void, undefined> {
    const tcb = this.#tcb
    for (;;) {
      if (this.#closed) return
      if (tcb.ring.length > 0) {
        const chunk = new Uint8Array(Math.min(tcb.ring.length, CHUNK))
        this.#take(chunk, 0, chunk.length)
        yield chunk
        continue
      }
      if (tcb.atEnd) {
        if (tcb.readErrno !== 0) throw this.#deathError('read')
        return
      }
      if (this.#reader !== null || this.#readable !== null) throw this.#busy()
      this.#readable = this.#wait()
      await this.#readable.promise
    }
  }

  /**
   * Ends both directions: what was written is sent, then FIN; if something was not read the peer is reset. Done when
   * the peer has acknowledged everything, or the connection is gone.
   */
  close(): Promise<void> {
    const tcb = this.#tcb
    if (!this.#closed) {
      this.#closed = true
      this.#tcp.close(tcb)
      this.#serveReader()
    }
    if (this.#isOver) return Promise.resolve()
    const closer = this.#wait<void>()
    this.#closers ??= []
    this.#closers.push(closer)
    return closer.promise
  }

  /** Ends it at once: the peer is reset, what was not sent is lost. */
  reset(): void {
    const { softirq } = this.#tcp
    this.#closed = true
    softirq.enter()
    try {
      this.#tcp.abort(this.#tcb, Errno.ECONNABORTED)
      this.#tcb.ring.clear()
    } finally {
      softirq.leave()
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  /** @internal done when the handshake is */
  opened(): Promise<TcpSocket> {
    this.#opening = this.#wait()
    return this.#opening.promise
  }

  /** @internal */
  deliverEvents(): void {
    const tcb = this.#tcb
    const { events } = tcb
    tcb.events = 0
    tcb.trace.deliver()
    if ((events & TcbEvent.URGENT) !== 0) this.onUrgent?.()
    if ((events & TcbEvent.CONNECTED) !== 0) this.#settleOpening(null)
    if ((events & (TcbEvent.READABLE | TcbEvent.CLOSED)) !== 0) this.#serveReader()
    if ((events & TcbEvent.WRITABLE) !== 0 && this.#writers !== null && this.#hasRoom) this.#wakeWriters()
    if ((events & TcbEvent.CLOSED) !== 0) {
      if (this.#opening !== null) this.#settleOpening(this.#deathError('connect'))
      const writers = this.#writers
      this.#writers = null
      if (writers !== null) for (const writer of writers) writer.reject(this.#deathError('write'))
    }
    if (this.#closers !== null && this.#isOver) {
      const closers = this.#closers
      this.#closers = null
      for (const closer of closers) closer.resolve()
    }
  }

  #wakeWriters(): void {
    const writers = this.#writers
    this.#writers = null
    if (writers !== null) for (const writer of writers) writer.resolve()
  }

  /** Two thirds of the buffer are taken at most (`sk_stream_is_writeable`). */
  get #hasRoom(): boolean {
    const tcb = this.#tcb
    return 3 * tcb.sendQueue.length <= 2 * this.#tcp.sendLimit(tcb)
  }

  /** Nothing of ours is on its way any more. */
  get #isOver(): boolean {
    const tcb = this.#tcb
    switch (tcb.state) {
      case TcpState.CLOSED:
      case TcpState.TIME_WAIT:
      case TcpState.FIN_WAIT_2:
        return true
      default:
        return tcb.finSent && tcb.sndUna === tcb.sndNxt
    }
  }

  #take(target: Uint8Array, offset: number, length: number): number {
    const count = this.#tcb.ring.readInto(target, offset, length)
    this.#tcp.consumed(this.#tcb)
    return count
  }

  #serveReader(): void {
    const tcb = this.#tcb
    if (this.#readable !== null && (tcb.ring.length > 0 || tcb.atEnd || this.#closed)) {
      const waiter = this.#readable
      this.#readable = null
      waiter.resolve()
    }
    const reader = this.#reader
    if (reader === null) return
    if (this.#closed) {
      this.#reader = null
      reader.reject(this.#error('ENOTCONN', 'read'))
    } else if (tcb.ring.length > 0) {
      this.#reader = null
      reader.resolve(this.#take(reader.target, reader.offset, reader.length))
    } else if (tcb.atEnd) {
      this.#reader = null
      if (tcb.readErrno === 0) reader.resolve(0)
      else reader.reject(this.#deathError('read'))
    }
  }

  #settleOpening(error: unknown): void {
    const opening = this.#opening
    this.#opening = null
    if (opening === null) return
    if (error === null) opening.resolve(this)
    else opening.reject(error)
  }

  /** A promise that somebody waits for: timers keep the process alive for it. */
  #wait<T>(): Waiting<T> {
    return new Waiting(this.#tcp.clock)
  }

  #busy(): TunstackError {
    return new TunstackError('ERR_INVALID_STATE', 'a read is waiting already; one at a time')
  }

  #deathError(syscall: string): TunstackError {
    const { errno } = this.#tcb
    return this.#error(errno === 0 ? 'EPIPE' : errnoName(errno), syscall)
  }

  #error(code: string, syscall: string): TunstackError {
    const peer = `${this.remoteAddress}:${this.remotePort}`
    const what = MESSAGES[code]
    return new TunstackError(code, what === undefined ? `${code}: ${peer}` : `${what} ${peer}`, { syscall })
  }
}

function atLeast(name: string, value: number, least: number): number {
  if (!(value >= least)) throw invalidArgument(name, value, `a number of ${least} or more`)
  return value
}

function octetOf(name: string, value: number): number {
  if (!(Number.isInteger(value) && value >= 0 && value <= 255)) {
    throw invalidArgument(name, value, 'a whole number from 0 to 255')
  }
  return value
}
