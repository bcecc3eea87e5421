/**
 * The ping client: sends echo requests at an interval, matches replies and errors to them, and adds up, as
 * iputils' `ping` does. It runs on an endpoint of its own, whose identifier tells its replies from others'.
 */
import { formatIpv4, type Ipv4Address } from '../address/ipv4-address.ts'
import { errnoName } from '../errors.ts'
import type { IcmpErrorInfo } from '../ipv4/context.ts'
import { MILLISECOND } from '../time/clock.ts'
import { Timer, type TimerWheel } from '../time/timer-wheel.ts'
import type { PingEndpoint, PingReceiver } from './ping-endpoint.ts'
import { type PingProbe, type PingResult, PingTally } from './ping-result.ts'

export interface PingTiming {
  /** Requests to send; `Infinity` until aborted. */
  count: number
  /** Milliseconds between requests. */
  interval: number
  /** Milliseconds to wait for each reply. */
  timeout: number
  /** Probes to keep for the result, the latest. */
  keep: number
}

/** What a series ends with. */
export interface PingOutcome {
  done(result: PingResult): void
  /** `onProbe` threw. */
  failed(error: unknown): void
}

interface Waiting {
  probe: PingProbe
  /** Stack time in nanoseconds. */
  sentAt: number
}

/** One series of pings to one address. Events are delivered outside of packet processing. */
export class PingSession implements PingReceiver {
  readonly #endpoint: PingEndpoint
  readonly #destination: Ipv4Address
  readonly #payload: Uint8Array
  readonly #timing: PingTiming
  readonly #wheel: TimerWheel
  readonly #now: () => number
  readonly #onProbe: ((probe: PingProbe) => void) | undefined
  readonly #outcome: PingOutcome
  readonly #tally: PingTally
  readonly #waiting = new Map<number, Waiting>()
  /** Of the probes that are kept, those that had a reply: another one is a duplicate. */
  readonly #answered = new Map<number, PingProbe>()
  readonly #news: PingProbe[] = []
  readonly #sendTimer = new Timer(() => this.#send())
  readonly #expiryTimer = new Timer(() => this.#expire())
  #startedAt = 0
  #finished = false

  constructor(
    endpoint: PingEndpoint,
    destination: Ipv4Address,
    payload: Uint8Array,
    timing: PingTiming,
    wheel: TimerWheel,
    now: () => number,
    outcome: PingOutcome,
    onProbe?: (probe: PingProbe) => void,
  ) {
    this.#endpoint = endpoint
    this.#destination = destination
    this.#payload = payload
    this.#timing = timing
    this.#wheel = wheel
    this.#now = now
    this.#outcome = outcome
    this.#tally = new PingTally(timing.keep)
    this.#onProbe = onProbe
    endpoint.receiver = this
  }

  start(): void {
    this.#startedAt = this.#now()
    this.#send()
  }

  /** Ends the series now: what is still unanswered stays so. */
  stop(): void {
    if (this.#finished) return
    this.#end()
    for (const { probe } of this.#waiting.values()) this.#settle(probe)
    this.#waiting.clear()
    try {
      this.#tell()
    } catch (error) {
      this.#outcome.failed(error)
      return
    }
    const time = (this.#now() - this.#startedAt) / MILLISECOND
    this.#outcome.done(this.#tally.result(formatIpv4(this.#destination), time))
  }

  received(
    sequence: number,
    from: Ipv4Address,
    ttl: number,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): void {
    const waiting = this.#waiting.get(sequence)
    if (waiting === undefined) {
      const answered = this.#answered.get(sequence)
      if (answered !== undefined) this.#tally.duplicate(answered)
      return
    }
    const { probe, sentAt } = waiting
    this.#waiting.delete(sequence)
    this.#answered.set(sequence, probe)
    probe.outcome = 'reply'
    probe.from = formatIpv4(from)
    probe.ttl = ttl
    probe.bytes = end - start + 8
    probe.rtt = (this.#now() - sentAt) / MILLISECOND
    const damagedAt = firstDifference(this.#payload, bytes, start, end)
    if (damagedAt >= 0) probe.damagedAt = damagedAt
    this.#settle(probe)
    this.#endpoint.announce()
  }

  failed(sequence: number, error: IcmpErrorInfo): void {
    const waiting = this.#waiting.get(sequence)
    if (waiting === undefined) return
    this.#waiting.delete(sequence)
    const { probe } = waiting
    probe.outcome = 'error'
    probe.from = formatIpv4(error.reporter)
    probe.code = errnoName(error.errno)
    probe.icmp = { type: error.type, code: error.code, info: error.info }
    this.#settle(probe)
    this.#endpoint.announce()
  }

  stopped(): void {
    this.stop()
  }

  deliverEvents(): void {
    if (this.#finished) return
    try {
      this.#tell()
    } catch (error) {
      if (this.#finished) return
      this.#end()
      this.#outcome.failed(error)
      return
    }
    if (this.#tally.transmitted >= this.#timing.count && this.#waiting.size === 0) this.stop()
  }

  #end(): void {
    this.#finished = true
    this.#wheel.cancel(this.#sendTimer)
    this.#wheel.cancel(this.#expiryTimer)
    this.#endpoint.close()
  }

  #send(): void {
    const { count, interval, timeout } = this.#timing
    const probe: PingProbe = { sequence: this.#tally.transmitted + 1, outcome: 'timeout', duplicates: 0 }
    const sequence = probe.sequence & 0xffff
    const forgotten = this.#tally.sent(probe)
    if (forgotten !== undefined && this.#answered.get(forgotten.sequence & 0xffff) === forgotten) {
      this.#answered.delete(forgotten.sequence & 0xffff)
    }
    const now = this.#now()
    // The sequence numbers went round while this one still waited: nobody could tell the replies apart.
    const overtaken = this.#waiting.get(sequence)
    if (overtaken !== undefined) {
      this.#waiting.delete(sequence)
      this.#settle(overtaken.probe)
    }
    this.#waiting.set(sequence, { probe, sentAt: now })
    this.#answered.delete(sequence)
    const errno = this.#endpoint.send(sequence, this.#payload)
    if (errno !== 0 && this.#waiting.delete(sequence)) {
      probe.outcome = 'error'
      probe.code = errnoName(errno)
      this.#settle(probe)
      this.#endpoint.announce()
    }
    if (this.#finished) return // by what was told meanwhile
    if (this.#tally.transmitted < count) this.#wheel.schedule(this.#sendTimer, now + interval * MILLISECOND)
    if (this.#waiting.size > 0 && !this.#expiryTimer.armed) {
      this.#wheel.schedule(this.#expiryTimer, now + timeout * MILLISECOND)
    }
  }

  /** Gives up what has waited too long; requests wait in the order in which they were sent. */
  #expire(): void {
    const now = this.#now()
    const patience = this.#timing.timeout * MILLISECOND
    for (const [sequence, { probe, sentAt }] of this.#waiting) {
      if (now - sentAt < patience) {
        this.#wheel.schedule(this.#expiryTimer, sentAt + patience)
        break
      }
      this.#waiting.delete(sequence)
      this.#settle(probe)
    }
    this.#endpoint.announce()
  }

  #settle(probe: PingProbe): void {
    this.#tally.settled(probe)
    if (this.#onProbe !== undefined) this.#news.push(probe)
  }

  #tell(): void {
    for (let probe = this.#news.shift(); probe !== undefined; probe = this.#news.shift())
      this.#onProbe?.(probe)
  }
}

function firstDifference(sent: Uint8Array, bytes: Uint8Array, start: number, end: number): number {
  const length = Math.min(sent.length, end - start)
  for (let i = 0; i < length; i++) if (bytes[start + i] !== sent[i]) return i
  return sent.length === end - start ? -1 : length
}
