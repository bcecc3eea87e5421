/** A stream of a TCP test: blocks written, or bytes read and thrown away. */
import type { TcpSocket } from '../../lib/index.ts'
import type { Parameters } from './parameters.ts'
import { Pace, type Quota, Stream } from './stream.ts'

const READ_SIZE = 256 * 1024

export class TcpStream extends Stream {
  readonly #socket: TcpSocket
  readonly #parameters: Parameters

  constructor(socket: TcpSocket, id: number, isSender: boolean, parameters: Parameters) {
    super(id, isSender)
    this.#socket = socket
    this.#parameters = parameters
    if (parameters.noDelay) socket.noDelay = true
  }

  describe(): { congestionWindow: number; rtt: number } | null {
    if (!this.isSender) return null
    const { snd_cwnd, snd_mss, rtt } = this.#socket.info
    return { congestionWindow: snd_cwnd * snd_mss, rtt }
  }

  protected update(): void {
    if (!this.stopped && this.isSender) this.now.retransmits = this.#socket.info.total_retrans
  }

  protected async send(quota: Quota): Promise<void> {
    const { length, rate } = this.#parameters
    const block = new Uint8Array(length)
    crypto.getRandomValues(block.subarray(0, 65536))
    const pace = new Pace(rate)
    const { now } = this
    while (!this.stopped) {
      if (pace.allowed(now.bytes) < 0) await pace.wait()
      else if (quota.take(length)) {
        await this.#socket.write(block)
        if (!this.stopped) now.bytes += length
      } else return
    }
  }

  protected async receive(quota: Quota): Promise<void> {
    const buffer = new Uint8Array(READ_SIZE)
    while (!this.stopped) {
      const count = await this.#socket.readInto(buffer)
      if (count === 0) return
      if (this.stopped) return
      this.now.bytes += count
      quota.take(count)
    }
  }

  /** What was written still goes, so that a peer that waits for the rest of a block gets it, or the end. */
  protected release(): void {
    this.#socket.close().catch(() => {})
  }
}
