/**
 * Listening as a program has it: connections as they are accepted, and, of a catch-all listener, requests for
 * connections that the program answers before the peer gets any answer.
 */
import { formatIpv4 } from '../address/ipv4-address.ts'
import { FlowKey, localPort, remotePort } from '../demux/flow-key.ts'
import type { EventSource } from '../device/softirq.ts'
import { TunstackError } from '../errors.ts'
import type { HalfOpen } from './half-open.ts'
import type { Listener } from './listener.ts'
import type { Tcp } from './tcp.ts'
import { TcpSocket } from './tcp-socket.ts'
import { Waiting } from './waiting.ts'

/** Gives what comes up to who waits for it, in order; the end comes once to each. */
class Backlog<T> {
  readonly #waiting: Waiting<IteratorResult<T, undefined>>[] = []
  #over = false

  get hasWaiter(): boolean {
    return this.#waiting.length > 0
  }

  next({ clock }: Tcp): Promise<IteratorResult<T, undefined>> {
    if (this.#over) return Promise.resolve({ value: undefined, done: true })
    const waiting = new Waiting<IteratorResult<T, undefined>>(clock)
    this.#waiting.push(waiting)
    return waiting.promise
  }

  give(value: T): void {
    this.#waiting.shift()!.resolve({ value, done: false })
  }

  end(): void {
    this.#over = true
    for (const waiting of this.#waiting.splice(0)) waiting.resolve({ value: undefined, done: true })
  }
}

export class TcpServer implements AsyncIterable<TcpSocket> {
  /** @internal */
  eventsPending = false
  /** The address listened at; `'0.0.0.0'`: all of this host. */
  readonly address: string
  readonly port: number
  readonly #tcp: Tcp
  readonly #listener: Listener
  readonly #backlog = new Backlog<TcpSocket>()

  /** @internal @param open makes the listener for this server, or throws */
  constructor(tcp: Tcp, open: (user: EventSource) => Listener) {
    this.#tcp = tcp
    this.#listener = open(this)
    const key = this.#listener.key!
    this.address = formatIpv4(key[FlowKey.LOCAL + 3]!)
    this.port = localPort(key)
  }

  get listening(): boolean {
    return !this.#listener.closed
  }

  /**
   * The next connection whose handshake is done.
   * @throws TunstackError `ECONNABORTED` when the server is closed
   */
  async accept(): Promise<TcpSocket> {
    const { value, done } = await this.next()
    if (done === true)
      throw new TunstackError('ECONNABORTED', 'this server was closed', { syscall: 'accept' })
    return value
  }

  /** Connections until the server is closed. */
  [Symbol.asyncIterator](): AsyncIterableIterator<TcpSocket, undefined, undefined> {
    return new Connections(this)
  }

  /** Ends listening; connections that were accepted go on. */
  close(): Promise<void> {
    this.#tcp.handshakes.unlisten(this.#listener)
    this.#backlog.end()
    return Promise.resolve()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  /** @internal */
  deliverEvents(): void {
    const { acceptQueue, closed } = this.#listener
    while (this.#backlog.hasWaiter && acceptQueue.length > 0) {
      this.#backlog.give(new TcpSocket(this.#tcp, acceptQueue.shift()!))
    }
    if (closed) this.#backlog.end()
  }

  /** @internal */
  next(): Promise<IteratorResult<TcpSocket, undefined>> {
    const tcb = this.#listener.acceptQueue.shift()
    if (tcb !== undefined) return Promise.resolve({ value: new TcpSocket(this.#tcp, tcb), done: false })
    return this.#backlog.next(this.#tcp)
  }
}

/** What an async generator would do, which needs three promises for each connection. */
class Connections implements AsyncIterableIterator<TcpSocket, undefined, undefined> {
  #server: TcpServer | null

  constructor(server: TcpServer) {
    this.#server = server
  }

  next(): Promise<IteratorResult<TcpSocket, undefined>> {
    return this.#server === null ? this.return() : this.#server.next()
  }

  /** The loop was left; the server listens on. */
  return(): Promise<IteratorReturnResult<undefined>> {
    this.#server = null
    return Promise.resolve({ value: undefined, done: true })
  }

  [Symbol.asyncIterator](): this {
    return this
  }
}

/** Somebody wants to connect; nothing has been answered. */
export class TcpRequest {
  readonly localAddress: string
  readonly localPort: number
  readonly remoteAddress: string
  readonly remotePort: number
  readonly #tcp: Tcp
  readonly #halfOpen: HalfOpen
  /** @internal */
  waiting: Waiting<TcpSocket> | null = null

  /** @internal */
  constructor(tcp: Tcp, halfOpen: HalfOpen) {
    this.#tcp = tcp
    this.#halfOpen = halfOpen
    const { key } = halfOpen
    this.localAddress = formatIpv4(key[FlowKey.LOCAL + 3]!)
    this.localPort = localPort(key)
    this.remoteAddress = formatIpv4(key[FlowKey.REMOTE + 3]!)
    this.remotePort = remotePort(key)
  }

  /**
   * Completes the handshake. Rejects if the peer does not.
   * @throws TunstackError `ECONNABORTED`
   */
  accept(): Promise<TcpSocket> {
    if (!this.#halfOpen.undecided) return Promise.reject(this.aborted())
    this.waiting = new Waiting(this.#tcp.clock)
    this.#tcp.handshakes.acceptRequest(this.#halfOpen)
    return this.waiting.promise
  }

  /** Answers with a reset: connection refused. */
  refuse(): void {
    this.#tcp.handshakes.refuseRequest(this.#halfOpen, false)
  }

  /** Answers nothing; when the peer asks again, so will this. */
  ignore(): void {
    this.#tcp.handshakes.refuseRequest(this.#halfOpen, true)
  }

  /** @internal */
  aborted(): TunstackError {
    const peer = `${this.remoteAddress}:${this.remotePort}`
    return new TunstackError('ECONNABORTED', `${peer} did not complete the handshake`, { syscall: 'accept' })
  }
}

export class TcpCatchAll implements AsyncIterable<TcpRequest> {
  /** @internal */
  eventsPending = false
  readonly #tcp: Tcp
  readonly #listener: Listener
  readonly #backlog = new Backlog<TcpRequest>()

  /** @internal */
  constructor(tcp: Tcp, open: (user: EventSource) => Listener) {
    this.#tcp = tcp
    this.#listener = open(this)
  }

  /** Requests until it is closed. */
  async *[Symbol.asyncIterator](): AsyncGenerator<TcpRequest, void, undefined> {
    for (;;) {
      const halfOpen = this.#listener.undecided.shift()
      if (halfOpen !== undefined) yield this.#request(halfOpen)
      else {
        const { value, done } = await this.#backlog.next(this.#tcp)
        if (done === true) return
        yield value
      }
    }
  }

  /** Ends it; connections that were accepted go on. */
  close(): Promise<void> {
    this.#tcp.handshakes.unlisten(this.#listener)
    this.deliverEvents()
    return Promise.resolve()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  /** @internal */
  deliverEvents(): void {
    const { acceptQueue, undecided, closed, failed } = this.#listener
    for (const tcb of acceptQueue.splice(0)) {
      const request = tcb.handshake!.user as TcpRequest | null
      tcb.handshake = null
      request?.waiting?.resolve(new TcpSocket(this.#tcp, tcb))
    }
    for (const halfOpen of failed.splice(0)) {
      const request = halfOpen.user as TcpRequest | null
      request?.waiting?.reject(request.aborted())
    }
    while (this.#backlog.hasWaiter && undecided.length > 0) {
      this.#backlog.give(this.#request(undecided.shift()!))
    }
    if (closed) this.#backlog.end()
  }

  #request(halfOpen: HalfOpen): TcpRequest {
    const request = new TcpRequest(this.#tcp, halfOpen)
    halfOpen.user = request
    return request
  }
}
