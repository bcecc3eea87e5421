/**
 * A TCP handle for Node's own `net`, over a stack: what `TCPWrap` of libuv is over the kernel. `net.Socket` and
 * `net.Server` call its methods and it calls them back, always from the event loop. It is a stream of Node's C++ layer
 * besides, so that TLS and the parser of HTTP read from it and write to it as they do with a kernel's socket. Results
 * are 0 or a negative errno.
 */
import { AsyncResource } from 'node:async_hooks'
import { formatIpv4, parseIpv4 } from '../../address/ipv4-address.ts'
import { FlowKey, localPort } from '../../demux/flow-key.ts'
import type { EventSource } from '../../device/softirq.ts'
import { Errno } from '../../errors.ts'
import { USUAL_CONNECT } from '../../tcp/active-open.ts'
import type { Listener } from '../../tcp/listener.ts'
import { type Tcb, TcpState } from '../../tcp/tcb.ts'
import type { Tcp } from '../../tcp/tcp.ts'
import { SECOND } from '../../time/clock.ts'
import type { Source, Turns } from '../turns.ts'
import {
  JSStream,
  type NativeStream,
  OWNER,
  type Request,
  reportReadError,
  reportWrite,
} from './internals.ts'
import { PendingWrites } from './pending-writes.ts'

/** Longest chunk that is read: what Node gives libuv. */
export const CHUNK = 65536
/** What the stack itself never says. */
const EALREADY = 114

/** No asynchronous context: what is accepted is of none, until a program gives it one. */
const outside = new AsyncResource('STACK')

/** What the handles of one stack share. */
export interface HandleContext {
  readonly tcp: Tcp
  readonly turns: Turns
  /** For what is on its way from a ring to the C++ layer: one is read from at a time. */
  readonly scratch: Uint8Array
  /** A handle has been given to a socket or server that may be of Node's own making. */
  adopt(owner: object): void
  /** A server has a connection; `false`: `onconnection` is to be told. */
  accept(server: object | undefined, onconnection: unknown, client: StackHandle): boolean
}

interface AddressInfo {
  address?: string
  family?: string
  port?: number
}

export class StackHandle extends JSStream implements EventSource, Source {
  eventsPending = false
  isReady = false
  /** Set and looked at by `net`. */
  reading = false
  onconnection: ((status: number, client?: StackHandle) => void) | undefined
  readonly #context: HandleContext
  /** The asynchronous context in which it was made: what is not a request of its own happens in it. */
  readonly #resource = new AsyncResource('TCPWRAP')
  readonly #writes: PendingWrites
  #owner: object | undefined
  #tcb: Tcb | null = null
  #listener: Listener | null = null
  #bound = { address: 0, port: 0 }
  #connecting: ((status: number) => void) | null = null
  #shutdown: ((status: number) => void) | null = null
  #reads = false
  #ended = false
  /** The error of the connection was reported: what follows is EPIPE, and the end. */
  #errorTold = false
  #written = 0
  #chunk = CHUNK
  #noDelay = false
  #keepAlive: { on: boolean; idle: number } = { on: false, idle: 0 }
  #closing = false
  #referenced = true
  #held = false

  constructor(context: HandleContext, tcb: Tcb | null = null) {
    super()
    this.#context = context
    this.#writes = new PendingWrites(context.tcp)
    if (tcb !== null) this.#attach(tcb)
  }

  get [OWNER](): object | undefined {
    return this.#owner
  }

  set [OWNER](owner: object | undefined) {
    this.#owner = owner
    if (owner !== undefined && owner !== null) this.#context.adopt(owner)
  }

  // ---- addresses

  bind(address: string, port: number): number {
    const local = parseIpv4(address)
    const { routing, sysctl } = this.#context.tcp.ip.ctx
    if (local !== 0 && sysctl.ipv4.ip_nonlocal_bind === 0 && routing.addresses.deviceOf(local) === null) {
      return -Errno.EADDRNOTAVAIL
    }
    this.#bound = { address: local, port: port | 0 } // `net` leaves it out, where any will do
    return 0
  }

  /** @param _address of IPv6: the stack has none, and says what a kernel without it says */
  bind6(_address: string, _port: number, _flags?: number): number {
    return -Errno.EINVAL
  }

  getsockname(out: AddressInfo): number {
    if (this.#closing) return -Errno.EBADF
    const tcb = this.#tcb
    const key = this.#listener?.key
    if (tcb !== null) return describe(out, tcb.path.local, tcb.path.localPort)
    if (key) return describe(out, key[FlowKey.LOCAL + 3]!, localPort(key))
    return describe(out, this.#bound.address, this.#bound.port)
  }

  getpeername(out: AddressInfo): number {
    const tcb = this.#tcb
    if (this.#closing) return -Errno.EBADF
    if (tcb === null || this.#connecting !== null) return -Errno.ENOTCONN
    if (tcb.state === TcpState.CLOSED) return -Errno.ENOTCONN
    return describe(out, tcb.path.remote, tcb.path.remotePort)
  }

  // ---- connecting and listening

  connect(request: Request, address: string, port: number): number {
    const { tcp, turns } = this.#context
    turns.calling()
    if (this.#closing || tcp.closed) return -Errno.ENETDOWN
    if (this.#connecting !== null) return -EALREADY
    const done = inContext('TCPCONNECTWRAP', (status) => {
      const ok = status === 0
      request.oncomplete?.(status, this, request, ok, ok)
    })
    if (this.#tcb !== null) {
      // As libuv has it: it is connected already, and that is well.
      this.#connecting = done
      this.#soon()
      return 0
    }
    const { address: local, port: ownPort } = this.#bound
    const tcb = tcp.connect(parseIpv4(address), port, local, ownPort, USUAL_CONNECT)
    if (typeof tcb === 'number') return -tcb
    this.#connecting = done
    this.#attach(tcb)
    return 0
  }

  connect6(request: Request, address: string, port: number): number {
    const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)
    return mapped === null ? -Errno.EAFNOSUPPORT : this.connect(request, mapped[1]!, port)
  }

  listen(backlog: number): number {
    const { tcp, turns } = this.#context
    turns.calling()
    if (tcp.closed) return -Errno.ENETDOWN
    const listener = tcp.handshakes.listen(this.#bound.address, this.#bound.port, backlog, this)
    if (typeof listener === 'number') return -listener
    this.#listener = listener
    this.#hold()
    return 0
  }

  // ---- reading, as the C++ layer asks for it

  /** @internal */
  onreadstart(): number {
    this.#reads = true
    this.#soon()
    return 0
  }

  /** @internal */
  onreadstop(): number {
    this.#reads = false
    this.#hold()
    return 0
  }

  /** @internal */
  isClosing(): boolean {
    return this.#closing
  }

  override useUserBuffer(buffer: Uint8Array): void {
    this.#chunk = Math.min(CHUNK, buffer.length)
    super.useUserBuffer(buffer)
  }

  // ---- writing, as `net` asks for it

  get bytesWritten(): number {
    return this.#written
  }

  get writeQueueSize(): number {
    return this.#writes.bytes
  }

  writeBuffer(request: Request, bytes: Uint8Array): number {
    return this.#write(request, [bytes], bytes.length)
  }

  writeUtf8String(request: Request, text: string): number {
    return this.writeBuffer(request, Buffer.from(text, 'utf8'))
  }

  writeAsciiString(request: Request, text: string): number {
    return this.writeBuffer(request, Buffer.from(text, 'latin1'))
  }

  writeLatin1String(request: Request, text: string): number {
    return this.writeBuffer(request, Buffer.from(text, 'latin1'))
  }

  writeUcs2String(request: Request, text: string): number {
    return this.writeBuffer(request, Buffer.from(text, 'utf16le'))
  }

  /** @param chunks buffers, or each with its encoding behind it */
  writev(request: Request, chunks: readonly unknown[], allBuffers: boolean): number {
    const buffers: Uint8Array[] = []
    let length = 0
    for (let i = 0; i < chunks.length; i += allBuffers ? 1 : 2) {
      const chunk = chunks[i]
      const bytes =
        typeof chunk === 'string' ? Buffer.from(chunk, encodingOf(chunks[i + 1])) : (chunk as Uint8Array)
      buffers.push(bytes)
      length += bytes.length
    }
    return this.#write(request, buffers, length)
  }

  #write(request: Request, buffers: readonly Uint8Array[], length: number): number {
    this.#context.turns.calling()
    const errno = this.#writeError()
    if (errno !== 0) {
      reportWrite(0, false)
      return errno
    }
    this.#written += length
    let settle: ((status: number) => void) | null = null
    const taken = this.#writes.write(this.#tcb, buffers, length, (status) => settle?.(status))
    if (!taken) settle = inContext('WRITEWRAP', (status) => request.oncomplete?.(status, this, undefined))
    reportWrite(length, !taken)
    this.#hold()
    return 0
  }

  /** @internal a write of the C++ layer (TLS): it hears of the end later, whatever comes of it */
  onwrite(request: object, buffers: readonly Uint8Array[]): number {
    this.#context.turns.calling()
    const errno = this.#writeError()
    if (errno !== 0) return errno
    let length = 0
    for (const { length: n } of buffers) length += n
    this.#written += length
    const finish = (status: number): void => this.finishWrite(request, status)
    if (this.#writes.write(this.#tcb, buffers, length, finish)) this.#context.turns.later(() => finish(0))
    this.#hold()
    return 0
  }

  /** What a write meets: once the error that ended the connection, then EPIPE. */
  #writeError(): number {
    const tcb = this.#tcb
    if (this.#closing) return -Errno.EBADF
    if (tcb === null) return -Errno.EPIPE
    if (this.#connecting !== null) return 0
    if (tcb.state === TcpState.CLOSED) return this.#takeError() || -Errno.EPIPE
    return tcb.finQueued ? -Errno.EPIPE : 0
  }

  /** The error that ended the connection, once (`sock_error`). */
  #takeError(): number {
    const errno = this.#tcb?.errno ?? 0
    if (this.#errorTold || errno === 0) return 0
    this.#errorTold = true
    return -errno
  }

  shutdown(request: Request): number {
    return this.#endWriting(inContext('SHUTDOWNWRAP', (status) => request.oncomplete?.(status)))
  }

  /** @internal */
  onshutdown(request: object): number {
    return this.#endWriting((status) => this.finishShutdown(request, status))
  }

  #endWriting(done: (status: number) => void): number {
    if (this.#tcb === null || this.#closing) return -Errno.ENOTCONN
    this.#shutdown = done
    this.#soon()
    return 0
  }

  // ---- options

  setNoDelay(on: boolean): number {
    this.#noDelay = on
    this.#applyOptions()
    return 0
  }

  /** @param idle seconds until the first probe; 0: as it is */
  setKeepAlive(on: boolean, idle: number): number {
    this.#keepAlive = { on, idle }
    this.#applyOptions()
    return 0
  }

  setSimultaneousAccepts(): number {
    return 0
  }

  /** `IP_TOS`, of newer versions of Node. */
  setTypeOfService(octet: number): number {
    if (this.#tcb !== null) this.#tcb.path.tos = octet & 0xfc
    return 0
  }

  getTypeOfService(): number {
    return this.#tcb?.path.tos ?? 0
  }

  #applyOptions(): void {
    const tcb = this.#tcb
    if (tcb === null || tcb.state === TcpState.CLOSED || tcb.state === TcpState.TIME_WAIT) return
    tcb.noDelay = this.#noDelay
    if (this.#noDelay) this.#context.tcp.flush(tcb)
    const { on, idle } = this.#keepAlive
    if (on && idle > 0) {
      // libuv sets the interval to a second and the number of probes to ten.
      tcb.keepIdle = idle * SECOND
      tcb.keepInterval = SECOND
      tcb.keepCount = 10
    }
    if (on !== tcb.keepAlive || on) this.#context.tcp.setKeepAlive(tcb, on)
  }

  // ---- life

  ref(): void {
    this.#referenced = true
    this.#hold()
  }

  unref(): void {
    this.#referenced = false
    this.#hold()
  }

  hasRef(): boolean {
    return this.#referenced && !this.#closing
  }

  close(callback?: () => void): void {
    this.#end(callback, (tcb) => this.#context.tcp.close(tcb))
  }

  /** The peer is reset. */
  reset(callback?: () => void): number {
    if (this.#closing) return -Errno.EINVAL
    this.#end(callback, (tcb) => this.#context.tcp.abandon(tcb))
    return 0
  }

  #end(callback: (() => void) | undefined, how: (tcb: Tcb) => void): void {
    if (this.#closing) return
    this.#closing = true
    this.#reads = false
    const tcb = this.#tcb
    if (this.#listener !== null) this.#context.tcp.handshakes.unlisten(this.#listener)
    if (tcb !== null) {
      tcb.user = null
      how(tcb)
    }
    this.#hold()
    this.#context.turns.atEnd(() => {
      const connecting = this.#connecting
      const shutdown = this.#shutdown
      this.#connecting = this.#shutdown = null
      this.#listener = null
      connecting?.(-Errno.ECANCELED)
      this.#writes.fail(-Errno.ECANCELED)
      shutdown?.(-Errno.ECANCELED)
      this.#tcb = null
      if (callback !== undefined) this.#resource.runInAsyncScope(callback, this)
    })
  }

  #attach(tcb: Tcb): void {
    this.#tcb = tcb
    tcb.user = this
    this.#applyOptions()
    if (tcb.events !== 0) this.#soon()
    this.#hold()
  }

  /** The process lives for what a handle of libuv is active for. */
  #hold(): void {
    const active =
      (this.#listener !== null && !this.#listener.closed) ||
      this.#connecting !== null ||
      this.#shutdown !== null ||
      !this.#writes.isEmpty ||
      (this.#reads && !this.#ended)
    const held = active && this.#referenced && !this.#closing
    if (held === this.#held) return
    this.#held = held
    this.#context.turns.hold(held)
  }

  #soon(): void {
    this.#context.turns.ready(this)
    this.#hold()
  }

  // ---- news

  /** @internal */
  deliverEvents(): void {
    const tcb = this.#tcb
    if (tcb !== null) {
      tcb.events = 0
      tcb.trace.deliver()
    }
    if (!this.#closing) this.#soon()
  }

  /** @internal */
  turn(): boolean {
    if (this.#closing) return false
    const more =
      this.#listener !== null ? this.#accept(this.#listener) : this.#tcb !== null && this.#advance(this.#tcb)
    this.#hold()
    return more && !this.#closing
  }

  #accept({ acceptQueue }: Listener): boolean {
    const tcb = acceptQueue.shift()
    if (tcb === undefined) return false
    const client = outside.runInAsyncScope(() => new StackHandle(this.#context, tcb))
    this.#resource.runInAsyncScope(() => {
      if (!this.#context.accept(this.#owner, this.onconnection, client)) this.onconnection?.(0, client)
    })
    return acceptQueue.length > 0
  }

  /** One thing: the connection is there, or bytes are read, or a write is done, or all of them. */
  #advance(tcb: Tcb): boolean {
    const connecting = this.#connecting
    if (connecting !== null) {
      if (tcb.state === TcpState.SYN_SENT || tcb.state === TcpState.SYN_RECEIVED) return false
      const failed = tcb.state === TcpState.CLOSED && tcb.errno !== 0
      this.#connecting = null
      connecting(failed ? this.#takeError() : 0)
      return true
    }
    if (this.#shutdown !== null && this.#writes.isEmpty) {
      this.#finishWriting(tcb, this.#shutdown)
      return true
    }
    if (this.#reads && !this.#ended && this.#read(tcb)) return true
    if (!this.#writes.isEmpty) {
      if (tcb.state === TcpState.CLOSED) {
        this.#writes.fail(this.#takeError() || -Errno.EPIPE)
        return true
      }
      return this.#writes.advance(tcb)
    }
    return false
  }

  /** FIN goes before what has come is read, as with libuv. */
  #finishWriting(tcb: Tcb, done: (status: number) => void): void {
    this.#shutdown = null
    const over = tcb.state === TcpState.CLOSED
    if (!over) this.#context.tcp.shutdown(tcb)
    done(over ? -Errno.ENOTCONN : 0)
  }

  #read(tcb: Tcb): boolean {
    const { ring } = tcb
    if (ring.length > 0) {
      const { tcp, scratch } = this.#context
      const count = ring.readInto(scratch, 0, Math.min(ring.length, this.#chunk))
      tcp.consumed(tcb)
      this.readBuffer(scratch.subarray(0, count)) // which copies it before anybody sees it
      return true
    }
    if (!tcb.atEnd) return false
    // Once the peer has ended, a reset is the writer's business.
    const errno = tcb.readErrno === 0 ? 0 : this.#takeError()
    this.#ended = true
    if (errno === 0) this.emitEOF()
    else this.#resource.runInAsyncScope(() => reportReadError(this.#listening(), errno))
    return true
  }

  /** Who hears of an error: a secure socket that has made this handle listens to the one that it has put around it. */
  #listening(): NativeStream {
    if (typeof this.onread === 'function') return this
    return (this.#owner as { _handle?: NativeStream | null } | undefined)?._handle ?? this
  }
}

function describe(out: AddressInfo, address: number, port: number): number {
  out.address = formatIpv4(address)
  out.family = 'IPv4'
  out.port = port
  return 0
}

function encodingOf(name: unknown): BufferEncoding {
  return name === 'buffer' || name === undefined ? 'utf8' : (name as BufferEncoding)
}

/** A callback in the asynchronous context of now. */
function inContext(type: string, callback: (status: number) => void): (status: number) => void {
  const resource = new AsyncResource(type)
  return (status) => resource.runInAsyncScope(callback, undefined, status)
}
