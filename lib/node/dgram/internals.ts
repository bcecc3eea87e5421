/**
 * What of Node's insides `dgram` over a stack needs: the class of the kernel's handles, the symbols under which a
 * socket has its handle and the number of its asynchronous context, and what Node runs between two callbacks of libuv.
 * Whatever is not as expected in this Node is said when `dgram` of a stack is asked for, and not later.
 */
import dgram from 'node:dgram'
import { TunstackError } from '../../errors.ts'
import type { LookupFunction } from '../net/lookup.ts'

/** What a socket keeps of itself, as far as it is looked at here. */
export interface SocketState {
  handle: NativeUdp | null
}

type Lookup = (name: string, callback: Parameters<LookupFunction>[2]) => void

/** A handle of the kernel. One that was not bound has no socket of it. */
export interface NativeUdp {
  /** Set by `dgram`: what it resolves names by. */
  lookup: Lookup
  close(callback?: () => void): void
  /** Set by `dgram`, and called from below: a datagram, or an error (negative). */
  onmessage?: (status: number, handle: NativeUdp, bytes?: Uint8Array, from?: object) => unknown
}

type NativeUdpClass = new () => NativeUdp

interface Internals {
  binding?: (name: 'udp_wrap') => { UDP: NativeUdpClass }
  /** Runs what was put off by `process.nextTick` and promises. */
  _tickCallback?: () => void
}

const internals = process as unknown as Internals

function unsupported(what: string): TunstackError {
  return new TunstackError(
    'ERR_UNSUPPORTED_RUNTIME',
    `${what}; node:dgram over a stack runs in Node 20.19, 22 and 24, without --permission (this is ${process.version})`,
  )
}

function load(): { UDP: NativeUdpClass; stateSymbol: symbol; asyncIdSymbol: symbol } {
  let UDP: NativeUdpClass | undefined
  try {
    UDP = internals.binding?.call(process, 'udp_wrap').UDP
  } catch (error) {
    throw unsupported(`process.binding refuses: ${(error as Error).message}`)
  }
  const probe = dgram.createSocket('udp4')
  const symbols = Object.getOwnPropertySymbols(probe)
  const find = (name: string): symbol | undefined => symbols.find(({ description }) => description === name)
  const [stateSymbol, asyncIdSymbol] = [find('state symbol'), find('async_id_symbol')]
  const { [stateSymbol ?? '']: state } = probe as unknown as Record<PropertyKey, SocketState | undefined>
  const known =
    UDP !== undefined && state?.handle instanceof UDP && typeof internals._tickCallback === 'function'
  probe.close()
  if (UDP === undefined || !known || stateSymbol === undefined || asyncIdSymbol === undefined) {
    throw unsupported('a socket of this Node is not as expected')
  }
  return { UDP, stateSymbol, asyncIdSymbol }
}

type Loaded = ReturnType<typeof load>
let missing: unknown = null

/** A runtime without them can load this: whoever asks for `dgram` is told. */
function loadIfThere(): Loaded {
  try {
    return load()
  } catch (error) {
    missing = error
    return { UDP: class {} as never, stateSymbol: Symbol(), asyncIdSymbol: Symbol() }
  }
}

const loaded = loadIfThere()

/** @throws TunstackError `ERR_UNSUPPORTED_RUNTIME` */
export function checkInternals(): void {
  if (missing !== null) throw missing
}

/** `UDP` of libuv. */
export const { UDP } = loaded
/** Under which a socket has its {@link SocketState}. */
export const STATE: unique symbol = loaded.stateSymbol as never
/** Under which a socket has the number of its asynchronous context. */
export const ASYNC_ID: unique symbol = loaded.asyncIdSymbol as never

/** What runs between two callbacks of libuv. */
export function runTicks(): void {
  internals._tickCallback!()
}

/** Flags of `bind`, as libuv has them. */
export const BindFlag = { IPV6ONLY: 1, REUSEADDR: 4, REUSEPORT: 64 } as const
