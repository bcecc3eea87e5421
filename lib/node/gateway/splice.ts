/**
 * A guest's connection and one of the host, joined: what comes from the one goes to the other, no faster than the other
 * takes it; an end, and a reset, are passed on. What waits is bounded by the buffers of both, and one chunk on the way
 * to the host.
 */
import { connect, type NetConnectOpts, Socket } from 'node:net'
import type { Linked } from '../../collections/linked-list.ts'
import type { EventSource } from '../../device/softirq.ts'
import type { HalfOpen } from '../../tcp/half-open.ts'
import { type Tcb, TcbEvent, TcpState } from '../../tcp/tcb.ts'
import type { Tcp } from '../../tcp/tcp.ts'
import { noLookup } from './options.ts'

/** Bytes that are handed to the host, or taken from it, by one system call. */
const CHUNK = 65536
/** Chunks that are kept while nobody needs them. */
const KEPT = 16

/** What the connections of a gateway share. */
export class SpliceContext {
  readonly tcp: Tcp
  readonly bytes: { tcpToHost: number; tcpToGuest: number }
  /** What the host has sent is read into this, and copied at once: each connection has it for itself meanwhile. */
  readonly incoming: Buffer = Buffer.allocUnsafeSlow(CHUNK)
  readonly #spare: Buffer[] = []

  constructor(tcp: Tcp, bytes: { tcpToHost: number; tcpToGuest: number }) {
    this.tcp = tcp
    this.bytes = bytes
  }

  take(): Buffer {
    return this.#spare.pop() ?? Buffer.allocUnsafeSlow(CHUNK)
  }

  give(chunk: Buffer): void {
    if (this.#spare.length < KEPT) this.#spare.push(chunk)
  }
}

/** Whoever made a splice hears of what becomes of it. */
export interface SpliceOwner {
  /** The host has connected. */
  connected(splice: Splice): void
  /** The guest has, to a forwarded port. */
  answered(splice: Splice): void
  /** One of them could not, before they were joined. @param code of Node's error, or of the stack's */
  failed(splice: Splice, code: string): void
  /** Both are gone. */
  ended(splice: Splice): void
}

/** Where the host is to connect to. */
export interface HostTarget {
  address: string
  port: number
  /** Milliseconds that it may take. */
  timeout: number
}

export class Splice implements EventSource, Linked<Splice> {
  eventsPending = false
  /** What the guest asks for, until its handshake is over. */
  request: HalfOpen | null = null
  /** The owner's. */
  next: Splice | null = null
  previous: Splice | null = null
  readonly #context: SpliceContext
  readonly #owner: SpliceOwner
  readonly #socket: Socket
  #tcb: Tcb | null = null
  #joined = false
  /** Bytes that the host's kernel has not taken yet: they stay where they are until it has. */
  #writing: Buffer | null = null
  /** The guest has no room: nothing is read from the host. */
  #stalled = false
  #hostEnded = false
  #guestEnded = false
  #over = false

  /** @param host a socket of the host, paused; or what one is to connect to */
  constructor(context: SpliceContext, owner: SpliceOwner, host: Socket | HostTarget) {
    this.#context = context
    this.#owner = owner
    this.#socket = host instanceof Socket ? this.#readFrom(host) : this.#connect(host)
    this.#socket
      .on('end', () => this.#endOfHost())
      .on('drain', () => this.#drained())
      .on('error', (error: NodeJS.ErrnoException) => this.#hostFailed(error.code ?? 'EIO'))
      .on('close', () => this.#hostGone())
  }

  /** The guest's side, whose handshake may be under way: nothing is passed on before {@link join}. */
  attach(tcb: Tcb): void {
    this.#tcb = tcb
    tcb.user = this
    if (tcb.events !== 0) this.#context.tcp.softirq.eventPending(this)
  }

  /** Both sides are there. */
  join(): void {
    if (this.#over) return
    this.#joined = true
    this.#socket.resume()
    if (this.#tcb!.events !== 0) this.#context.tcp.softirq.eventPending(this)
  }

  deliverEvents(): void {
    const tcb = this.#tcb!
    if (this.#over) return
    const { events } = tcb
    if (!this.#joined) {
      if ((events & TcbEvent.CLOSED) !== 0) {
        this.#over = true
        this.#socket.resetAndDestroy()
        this.#owner.failed(this, 'ECONNREFUSED')
      } else if ((events & TcbEvent.CONNECTED) !== 0) {
        tcb.events &= ~TcbEvent.CONNECTED
        this.#owner.answered(this)
      }
      return
    }
    tcb.events = 0
    if ((events & TcbEvent.CLOSED) !== 0 && tcb.errno !== 0) return this.reset()
    this.#toHost(tcb)
    if (this.#stalled && this.#hasRoom(tcb)) {
      this.#stalled = false
      this.#socket.resume()
    }
    this.#letGo()
  }

  /** Ends both at once, with resets. */
  reset(): void {
    if (this.#over) return
    this.#over = true
    if (this.#socket.connecting) this.#socket.destroy()
    else this.#socket.resetAndDestroy()
    this.#abortGuest()
  }

  #connect({ address, port, timeout }: HostTarget): Socket {
    const { incoming } = this.#context
    const options: NetConnectOpts & { writableHighWaterMark: number } = {
      host: address,
      port,
      family: 4,
      lookup: noLookup,
      allowHalfOpen: true,
      noDelay: true,
      keepAlive: true,
      writableHighWaterMark: 1, // so that `'drain'` comes after each write
      onread: { buffer: incoming, callback: (n) => this.#fromHost(incoming.subarray(0, n)) },
    }
    const socket = connect(options)
    socket.pause() // the guest is not there yet
    socket.setTimeout(timeout, () => this.#hostFailed('ETIMEDOUT'))
    socket.once('connect', () => {
      socket.setTimeout(0)
      if (!this.#over) this.#owner.connected(this)
    })
    return socket
  }

  /** A socket that was not made here gives chunks of its own. */
  #readFrom(socket: Socket): Socket {
    socket.pause()
    socket.on('data', (chunk: Buffer) => {
      if (!this.#fromHost(chunk)) socket.pause()
    })
    return socket
  }

  /** Takes what the host has sent; `false`: no more for now. */
  #fromHost(bytes: Uint8Array): boolean {
    const tcb = this.#tcb
    if (this.#over || tcb === null || tcb.finQueued || tcb.state === TcpState.CLOSED) return true
    const { tcp, bytes: counted } = this.#context
    counted.tcpToGuest += bytes.length
    tcb.sendQueue.push(bytes)
    tcp.flush(tcb)
    this.#stalled = !this.#hasRoom(tcb)
    return !this.#stalled
  }

  /** Two thirds of the send buffer are taken at most, as a socket's writer is woken (`sk_stream_is_writeable`). */
  #hasRoom(tcb: Tcb): boolean {
    return 3 * tcb.sendQueue.length <= 2 * this.#context.tcp.sendLimit(tcb)
  }

  #toHost(tcb: Tcb): void {
    const context = this.#context
    const socket = this.#socket
    const { ring } = tcb
    while (this.#writing === null && ring.length > 0 && !this.#over) {
      const chunk = context.take()
      const n = ring.readInto(chunk, 0, CHUNK)
      context.tcp.consumed(tcb)
      context.bytes.tcpToHost += n
      socket.write(chunk.subarray(0, n))
      // What the kernel has taken at once is nobody's any more; `'drain'` tells of the rest.
      if (socket.writableLength > 0) this.#writing = chunk
      else context.give(chunk)
    }
    if (this.#writing !== null || this.#guestEnded || !tcb.atEnd) return
    this.#guestEnded = true
    socket.end()
  }

  #drained(): void {
    const chunk = this.#writing
    if (chunk === null || this.#socket.writableLength > 0) return
    this.#writing = null
    this.#context.give(chunk)
    if (this.#over || !this.#joined) return
    this.#toHost(this.#tcb!)
    this.#letGo()
  }

  #endOfHost(): void {
    this.#hostEnded = true
    if (this.#over || this.#tcb === null) return
    if (this.#tcb.state !== TcpState.CLOSED) this.#context.tcp.shutdown(this.#tcb)
    this.#letGo()
  }

  /** Both have said all: the guest's side sees to the rest itself. */
  #letGo(): void {
    const tcb = this.#tcb
    if (this.#over || tcb === null || !this.#guestEnded || !this.#hostEnded) return
    this.#over = true
    tcb.user = null
    this.#context.tcp.close(tcb)
  }

  #hostFailed(code: string): void {
    if (this.#over) return
    if (!this.#joined) {
      this.#over = true
      this.#socket.destroy()
      this.#abortGuest()
      this.#owner.failed(this, code)
    } else this.reset()
  }

  #hostGone(): void {
    if (!this.#over) {
      // It was destroyed without a word.
      if (this.#joined && !(this.#hostEnded && this.#guestEnded)) this.reset()
      this.#over = true
    }
    this.#writing = null
    this.#owner.ended(this)
  }

  #abortGuest(): void {
    const tcb = this.#tcb
    if (tcb === null) return
    tcb.user = null
    this.#context.tcp.abandon(tcb)
  }
}
