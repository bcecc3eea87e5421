/**
 * A stream of a UDP test. Each datagram begins with the time at which it was sent (seconds and microseconds) and its
 * number, of 32 or 64 bits; what is missing or late of them, and how evenly they come, is the result.
 */
import { setImmediate as turn } from 'node:timers/promises'
import type { UdpSocket } from '../../lib/index.ts'
import type { Parameters } from './parameters.ts'
import { Pace, type Quota, Stream } from './stream.ts'

/** With these, client and server make a stream known to each other before anything is counted. */
export const HELLO: Uint8Array = Uint8Array.of(0x39, 0x38, 0x37, 0x36)
export const HELLO_REPLY: Uint8Array = Uint8Array.of(0x36, 0x37, 0x38, 0x39)

/** Datagrams that are sent before somebody else gets a turn. */
const BURST = 64
const HEADER = 8
const EAGAIN = 11

export class UdpStream extends Stream {
  readonly #socket: UdpSocket
  readonly #parameters: Parameters
  #transit = NaN

  /** @param socket with a peer */
  constructor(socket: UdpSocket, id: number, isSender: boolean, parameters: Parameters) {
    super(id, isSender)
    this.#socket = socket
    this.#parameters = parameters
  }

  describe(): null {
    return null
  }

  protected update(): void {}

  protected async send(quota: Quota): Promise<void> {
    const { length, rate, counters64 } = this.#parameters
    const socket = this.#socket
    const block = new Uint8Array(Math.max(length, 16))
    crypto.getRandomValues(block.subarray(0, Math.min(block.length, 65536)))
    const datagram = block.subarray(0, length)
    const view = new DataView(block.buffer)
    const pace = new Pace(rate)
    const { now } = this
    while (!this.stopped) {
      const allowed = Math.min(BURST, pace.allowed(now.bytes) / length)
      for (let i = 0; i < allowed; i++) {
        if (!quota.take(length)) return
        const time = performance.now()
        view.setUint32(0, time / 1000)
        view.setUint32(4, (time % 1000) * 1000)
        const number = now.packets + 1
        if (counters64) view.setBigUint64(HEADER, BigInt(number))
        else view.setUint32(HEADER, number)
        const errno = socket.trySend(datagram)
        if (errno === EAGAIN) await socket.writable()
        else if (errno !== 0) throw new Error(`sending failed with errno ${errno}`)
        if (errno === 0) {
          now.packets++
          now.bytes += length
        }
        if (this.stopped) return
      }
      if (rate === 0) await turn()
      else await pace.wait()
    }
  }

  protected async receive(quota: Quota): Promise<void> {
    const socket = this.#socket
    const buffer = new Uint8Array(65536)
    const view = new DataView(buffer.buffer)
    const { counters64 } = this.#parameters
    while (!this.stopped) {
      await socket.readable()
      for (let n = socket.receiveInto(buffer); n >= 0; n = socket.receiveInto(buffer)) {
        if (this.stopped || n < (counters64 ? 16 : 12)) continue
        const sent = view.getUint32(0) * 1000 + view.getUint32(4) / 1000
        this.#count(n, counters64 ? Number(view.getBigUint64(HEADER)) : view.getUint32(HEADER), sent)
        quota.take(n)
      }
    }
  }

  #count(bytes: number, number: number, sent: number): void {
    const { now } = this
    now.bytes += bytes
    if (number > now.packets) {
      // What was skipped is lost, until it comes late.
      now.lost += number - now.packets - 1
      now.packets = number
    } else {
      now.outOfOrder++
      if (now.lost > 0) now.lost--
    }
    // The clocks of the two ends differ; differences of transit times do not.
    const transit = (performance.now() - sent) / 1000
    if (!Number.isNaN(this.#transit)) this.jitter += (Math.abs(transit - this.#transit) - this.jitter) / 16
    this.#transit = transit
  }

  protected release(): void {
    this.#socket.close()
  }
}
