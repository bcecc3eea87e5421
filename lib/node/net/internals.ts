/**
 * What of Node's insides a handle needs: the class of streams whose lower half is JavaScript (`JSStream`, what Node's
 * own TLS stands on when it is given a stream that is no socket), the array in which a handle tells `net` how a write
 * went, and the symbol under which a handle knows its socket. Reached by `process.binding`, which is open for these in
 * Node 20, 22 and 24; whatever is not as expected is said when a module of a stack is asked for, and not later.
 */
import net from 'node:net'
import { TunstackError } from '../../errors.ts'

/** A request of `net` that a handle completes: `TCPConnectWrap`, `WriteWrap`, `ShutdownWrap`. */
export interface Request {
  oncomplete?: ((...outcome: unknown[]) => void) | undefined
}

/** A stream of Node's C++ layer: what is called from below (`on…`) and what tells it of data. */
export interface NativeStream {
  readonly bytesRead: number
  /** Set by `net`: what was read, or that it ended. */
  onread: (...read: unknown[]) => unknown
  /** Gives bytes, a copy of them, to whoever listens: a socket, TLS, the parser of HTTP. */
  readBuffer(bytes: Uint8Array): void
  emitEOF(): void
  finishWrite(request: object, status: number): void
  finishShutdown(request: object, status: number): void
  useUserBuffer(buffer: Uint8Array): void
}

/** libuv's own: `fd` is negative before it has a socket. */
interface KernelHandle {
  readonly fd: number
  close(callback?: () => void): void
}

interface StreamState {
  /** Numbers that `net` looks at after each call of a handle. */
  streamBaseState: Record<number, number>
  kReadBytesOrError: number
  kArrayBufferOffset: number
  kBytesWritten: number
  kLastWriteWasAsync: number
}

interface Bindings {
  (name: 'js_stream'): { JSStream: new () => NativeStream }
  (name: 'stream_wrap'): StreamState
  (name: 'tcp_wrap'): { TCP: new (type: number) => KernelHandle }
}

const binding = (process as unknown as { binding?: Bindings }).binding?.bind(process) as Bindings | undefined

/** Node's insides are not those that were expected. */
export function unsupported(what: string): TunstackError {
  return new TunstackError(
    'ERR_UNSUPPORTED_RUNTIME',
    `${what}; node:net over a stack runs in Node 20.19, 22 and 24, without --permission (this is ${process.version})`,
  )
}

interface Internals {
  JSStream: new () => NativeStream
  state: StreamState
  TCP: new (type: number) => KernelHandle
  owner: symbol
  timeout: symbol
}

function load(): Internals {
  if (binding === undefined) throw unsupported('process.binding is missing')
  let found: Pick<Internals, 'JSStream' | 'state' | 'TCP'>
  try {
    found = {
      JSStream: binding('js_stream').JSStream,
      state: binding('stream_wrap'),
      TCP: binding('tcp_wrap').TCP,
    }
  } catch (error) {
    throw unsupported(`process.binding refuses: ${(error as Error).message}`)
  }
  const { JSStream, state } = found
  const indices = [
    state.kReadBytesOrError,
    state.kArrayBufferOffset,
    state.kBytesWritten,
    state.kLastWriteWasAsync,
  ]
  if (
    typeof JSStream !== 'function' ||
    state.streamBaseState === undefined ||
    indices.some((i) => typeof i !== 'number')
  ) {
    throw unsupported('the stream layer of this Node is not as expected')
  }
  return { ...found, owner: findOwnerSymbol(JSStream), timeout: symbolOf(new net.Socket(), 'timeout') }
}

function findOwnerSymbol(Stream: Internals['JSStream']): symbol {
  const probe = new Stream() as NativeStream & { close(): void }
  probe.close = () => {}
  new net.Socket({ handle: probe } as net.SocketConstructorOpts)
  return symbolOf(probe, 'owner_symbol')
}

function symbolOf(object: object, name: string): symbol {
  const found = Object.getOwnPropertySymbols(object).find(({ description }) => description === name)
  if (found === undefined) throw unsupported(`'${name}' is not where it is expected`)
  return found
}

let missing: unknown = null

/** A runtime without them can load this: whoever asks for `net` is told. */
function loadIfThere(): Internals {
  try {
    return load()
  } catch (error) {
    missing = error
    const none = class {} as never
    return { JSStream: none, state: {} as never, TCP: none, owner: Symbol(), timeout: Symbol() }
  }
}

const { JSStream, state, TCP, owner, timeout } = loadIfThere()

export { JSStream, TCP }

/** Under which a handle has its socket or server. */
export const OWNER: symbol = owner

/** Under which a socket has the timer of its timeout. */
export const TIMEOUT: unique symbol = timeout as never

/** @throws TunstackError `ERR_UNSUPPORTED_RUNTIME` */
export function checkInternals(): void {
  if (missing !== null) throw missing
}

/** Tells `net` of a write that was just asked for. */
export function reportWrite(bytes: number, async: boolean): void {
  state.streamBaseState[state.kBytesWritten] = bytes
  state.streamBaseState[state.kLastWriteWasAsync] = async ? 1 : 0
}

/** Tells `net` that a read failed. @param errno negative */
export function reportReadError(handle: NativeStream, errno: number): void {
  state.streamBaseState[state.kReadBytesOrError] = errno
  state.streamBaseState[state.kArrayBufferOffset] = 0
  handle.onread(undefined)
}

type NormalizedArgs = [Record<string, unknown>, ((...args: unknown[]) => void) | null]

interface NetInternals {
  /** Makes options and a callback of the arguments of `connect` and `listen`. */
  _normalizeArgs(args: unknown[]): NormalizedArgs
}

export const { _normalizeArgs: normalizeArgs } = net as unknown as NetInternals

/** By which Node knows arguments that are normalized already. */
const [NORMALIZED] = Object.getOwnPropertySymbols(normalizeArgs([]))

export function isNormalized(value: unknown): value is NormalizedArgs {
  return Array.isArray(value) && NORMALIZED !== undefined && NORMALIZED in value
}

/** `TCPConstants.SOCKET` */
const TCP_SOCKET = 0

/** Calls back when libuv calls back for what was closed: in the same turn of the event loop, behind `setImmediate()`. */
export function afterTurn(callback: () => void): void {
  new TCP(TCP_SOCKET).close(callback) // which never had a socket of the kernel
}
