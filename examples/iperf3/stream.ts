/** What the streams of a test have in common: a direction, counters, and how much may still be sent. */
import { setTimeout as sleep } from 'node:timers/promises'

/** What is left to send when a test is limited by bytes or blocks: its streams share it. */
export class Quota {
  #bytes: number
  #blocks: number
  /** Settles when nothing is left. */
  readonly used: Promise<void>
  #done!: () => void

  /** 0: no limit. */
  constructor(bytes: number, blocks: number) {
    this.#bytes = bytes === 0 ? Infinity : bytes
    this.#blocks = blocks === 0 ? Infinity : blocks
    this.used = new Promise((resolve) => {
      this.#done = resolve
    })
  }

  /** Takes a block; `false` when the limit has been reached. */
  take(bytes: number): boolean {
    if (this.#bytes <= 0 || this.#blocks <= 0) return false
    this.#bytes -= bytes
    this.#blocks--
    if (this.#bytes <= 0 || this.#blocks <= 0) this.#done()
    return true
  }
}

/** Counters of one stream; those that are reported count from the end of the omitted seconds. */
export interface Counts {
  bytes: number
  /** Datagrams sent, or the highest number received. */
  packets: number
  /** Datagrams that did not arrive. */
  lost: number
  outOfOrder: number
  retransmits: number
}

export abstract class Stream {
  readonly id: number
  readonly isSender: boolean
  readonly now: Counts = { bytes: 0, packets: 0, lost: 0, outOfOrder: 0, retransmits: 0 }
  /** What {@link now} was when the omitted seconds were over. */
  omitted: Counts = { ...this.now }
  /** Seconds, smoothed (RFC 3550 §6.4.1). */
  jitter = 0
  protected stopped = false
  /** Why it ended before it was told to. */
  error: Error | null = null

  constructor(id: number, isSender: boolean) {
    this.id = id
    this.isSender = isSender
  }

  /** What is reported. */
  get counts(): Counts {
    this.update()
    const { now, omitted } = this
    return {
      bytes: now.bytes - omitted.bytes,
      packets: now.packets - omitted.packets,
      lost: now.lost - omitted.lost,
      outOfOrder: now.outOfOrder - omitted.outOfOrder,
      retransmits: now.retransmits - omitted.retransmits,
    }
  }

  start(quota: Quota): void {
    const run = this.isSender ? this.send(quota) : this.receive(quota)
    run.catch((error: Error) => {
      if (!this.stopped) this.error = error
    })
  }

  /** The omitted seconds are over. */
  omit(): void {
    this.update()
    this.omitted = { ...this.now }
    this.jitter = 0
  }

  /** No more is sent, or counted. */
  stop(): void {
    this.update()
    this.stopped = true
  }

  /**
   * Gives its socket back. A write that waits for room is not waited for: iperf3's client reads nothing of a test in
   * both directions from its end on, and waits itself until the streams are closed here.
   */
  close(): void {
    this.stopped = true
    this.release()
  }

  /** One line more about how it is, for the interval's report. */
  abstract describe(): { congestionWindow: number; rtt: number } | null
  protected abstract update(): void
  protected abstract send(quota: Quota): Promise<void>
  protected abstract receive(quota: Quota): Promise<void>
  protected abstract release(): void
}

/** Keeps a sender to its rate: how many bytes it may send now, and the wait for more. */
export class Pace {
  readonly #rate: number
  readonly #start = performance.now()

  /** @param rate bits per second; 0: any */
  constructor(rate: number) {
    this.#rate = rate
  }

  allowed(sent: number): number {
    if (this.#rate === 0) return Infinity
    return ((performance.now() - this.#start) * this.#rate) / 8000 - sent
  }

  async wait(): Promise<void> {
    await sleep(1)
  }
}
