/**
 * Writes on their way into the send buffer. Bytes are taken while there is room, as `send(2)` takes them; the rest
 * waits here, and its callback with it, until the peer has acknowledged enough (`sk_stream_is_writeable`).
 */
import type { Tcb } from '../../tcp/tcb.ts'
import type { Tcp } from '../../tcp/tcp.ts'

interface Write {
  readonly buffers: readonly Uint8Array[]
  /** Buffer, and byte of it, that comes next. */
  index: number
  offset: number
  readonly done: (status: number) => void
}

export class PendingWrites {
  readonly #tcp: Tcp
  #list: Write[] = []
  #bytes = 0

  constructor(tcp: Tcp) {
    this.#tcp = tcp
  }

  /** Bytes that wait. */
  get bytes(): number {
    return this.#bytes
  }

  get isEmpty(): boolean {
    return this.#list.length === 0
  }

  /** Takes what there is room for; `true`: that was all. Otherwise `done` is called when the rest is taken. */
  write(
    tcb: Tcb | null,
    buffers: readonly Uint8Array[],
    length: number,
    done: (status: number) => void,
  ): boolean {
    const write = { buffers, index: 0, offset: 0, done }
    if (tcb !== null && this.isEmpty) {
      const taken = this.#take(tcb, write)
      if (taken > 0) this.#tcp.flush(tcb)
      // What has just been sent may have been acknowledged: the peer may live in this process.
      if (taken === length) return true
      this.#bytes += length - taken
    } else this.#bytes += length
    this.#list.push(write)
    return false
  }

  /** There may be room again: takes more, and finishes one write, if it could. */
  advance(tcb: Tcb): boolean {
    const write = this.#list[0]
    if (write === undefined || !this.#hasRoom(tcb)) return false
    const taken = this.#take(tcb, write)
    this.#bytes -= taken
    if (taken > 0) this.#tcp.flush(tcb)
    if (write.index < write.buffers.length) return false
    this.#list.shift()
    write.done(0)
    return true
  }

  /** Nothing more is taken: each write ends with `status`. */
  fail(status: number): void {
    const list = this.#list
    this.#list = []
    this.#bytes = 0
    for (const { done } of list) done(status)
  }

  #take(tcb: Tcb, write: Write): number {
    const { sendQueue } = tcb
    const limit = this.#tcp.sendLimit(tcb)
    let taken = 0
    while (write.index < write.buffers.length) {
      const buffer = write.buffers[write.index]!
      const count = Math.min(buffer.length - write.offset, limit - sendQueue.length)
      if (count <= 0 && buffer.length > 0) break
      sendQueue.push(buffer.subarray(write.offset, write.offset + count))
      taken += count
      write.offset += count
      if (write.offset < buffer.length) break
      write.index++
      write.offset = 0
    }
    return taken
  }

  /** Two thirds of the buffer are taken at most (`sk_stream_is_writeable`). */
  #hasRoom(tcb: Tcb): boolean {
    return 3 * tcb.sendQueue.length <= 2 * this.#tcp.sendLimit(tcb)
  }
}
