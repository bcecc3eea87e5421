/**
 * Datagrams that a handle could not send at once: the device had no room. They go in order when it has, and their
 * requests hear of it. How many wait is the program's doing, which sees it in `getSendQueueCount()`.
 */
import { AsyncResource } from 'node:async_hooks'
import { Errno } from '../../errors.ts'
import type { UdpAddress } from '../../udp/udp-options.ts'
import type { UdpSocket } from '../../udp/udp-socket.ts'

/** `SendWrap` of Node: completed with a status and the bytes sent. */
export interface SendRequest {
  oncomplete?: ((status: number, sent: number) => void) | undefined
}

interface PendingSend {
  readonly request: SendRequest
  readonly buffers: readonly ArrayBufferView[]
  readonly length: number
  readonly to: UdpAddress | undefined
  /** The asynchronous context of the call. */
  readonly resource: AsyncResource | null
}

export class PendingSends {
  /** Bytes that wait. */
  bytes = 0
  #queue: PendingSend[] = []
  readonly #handle: AsyncResource

  /** @param handle context of the handle, in which the requests are made */
  constructor(handle: AsyncResource) {
    this.#handle = handle
  }

  get length(): number {
    return this.#queue.length
  }

  get isEmpty(): boolean {
    return this.#queue.length === 0
  }

  push(
    request: SendRequest,
    buffers: readonly ArrayBufferView[],
    to: UdpAddress | undefined,
    wantsToKnow: boolean,
  ): void {
    const length = lengthOf(buffers)
    const triggerAsyncId = this.#handle.asyncId()
    const resource = wantsToKnow ? new AsyncResource('UDPSENDWRAP', { triggerAsyncId }) : null
    this.#queue.push({ request, buffers, length, to, resource })
    this.bytes += length
  }

  /** Sends what there is room for. */
  advance(socket: UdpSocket): void {
    const done: [PendingSend, number][] = []
    for (const send of this.#queue) {
      if (!socket.closed && socket.awaitRoom(send.to)) break
      const errno = socket.closed ? Errno.ENETDOWN : socket.trySend(bytesOf(send.buffers), send.to)
      if (errno === Errno.EAGAIN) break
      done.push([send, -errno])
    }
    this.#queue.splice(0, done.length)
    for (const [send, status] of done) this.#complete(send, status)
  }

  /** All that waits fails. */
  fail(status: number): void {
    for (const send of this.#queue.splice(0)) this.#complete(send, status)
  }

  #complete({ request, length, resource }: PendingSend, status: number): void {
    this.bytes -= length
    resource?.runInAsyncScope(() => request.oncomplete?.(status, length))
  }
}

/** The bytes of buffers, of whatever type, in one piece. */
export function bytesOf(buffers: readonly ArrayBufferView[]): Uint8Array {
  const [first] = buffers
  if (buffers.length === 1) return view(first!)
  const bytes = new Uint8Array(lengthOf(buffers))
  let at = 0
  for (const buffer of buffers) {
    bytes.set(view(buffer), at)
    at += buffer.byteLength
  }
  return bytes
}

function view(buffer: ArrayBufferView): Uint8Array {
  return buffer instanceof Uint8Array
    ? buffer
    : new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength)
}

function lengthOf(buffers: readonly ArrayBufferView[]): number {
  let length = 0
  for (const { byteLength } of buffers) length += byteLength
  return length
}
