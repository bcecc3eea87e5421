/** A test from its start to its end, as either end has it: streams run, seconds pass and are reported. */
import type { Stack } from '../../lib/index.ts'
import type { ControlConnection } from './control.ts'
import type { Parameters } from './parameters.ts'
import { Report } from './report.ts'
import { CpuMeter, type Results, resultOf, resultsFromJson, resultsToJson } from './results.ts'
import { Quota, type Stream } from './stream.ts'

export class Session {
  readonly quota: Quota
  readonly #parameters: Parameters
  readonly #streams: readonly Stream[]
  readonly #report: Report
  readonly #interval: number
  readonly #congestion: string
  readonly #timers: NodeJS.Timeout[] = []
  #cpu = new CpuMeter()
  #begin = performance.now()
  #seconds = 0

  /** @param interval seconds between reports */
  constructor(
    stack: Stack,
    parameters: Parameters,
    streams: readonly Stream[],
    interval: number,
    asJson: boolean,
    about: object,
  ) {
    this.#parameters = parameters
    this.#streams = streams
    this.#interval = interval
    this.#congestion = String(stack.sysctlGet('net.ipv4.tcp_congestion_control'))
    this.quota = new Quota(parameters.bytes, parameters.blocks)
    this.#report = new Report(parameters, asJson, { ...about, test_start: parameters })
  }

  start(): void {
    const { omit } = this.#parameters
    this.#begin = performance.now()
    if (omit > 0) this.#timers.push(setTimeout(() => this.#omit(), omit * 1000))
    this.#timers.push(
      setInterval(() => this.#report.interval(this.#streams, this.#elapsed), this.#interval * 1000),
    )
    for (const stream of this.#streams) stream.start(this.quota)
  }

  /** Nothing is sent or counted from here on. */
  stop(): void {
    this.#seconds = this.#elapsed
    for (const timer of this.#timers) clearTimeout(timer)
    for (const stream of this.#streams) stream.stop()
    this.#report.interval(this.#streams, this.#seconds)
  }

  /** What a stream died of before the end, if one did. */
  get error(): Error | null {
    return this.#streams.find(({ error }) => error !== null)?.error ?? null
  }

  /** Tells the peer what was counted here and hears what was counted there; the client speaks first. */
  async exchange(control: ControlConnection, isClient: boolean): Promise<void> {
    const { udp } = this.#parameters
    const own: Results = {
      cpu: this.#cpu.read(),
      congestion: udp ? '' : this.#congestion,
      streams: this.#streams.map((stream) => resultOf(stream, this.#seconds)),
    }
    const json = resultsToJson(own, udp)
    if (isClient) await control.sendJson(json)
    const peer = resultsFromJson(await control.readJson())
    if (!isClient) await control.sendJson(json)
    this.#report.finish(this.#streams, own, peer, isClient)
  }

  close(): void {
    for (const timer of this.#timers) clearTimeout(timer)
    for (const stream of this.#streams) stream.close()
  }

  get #elapsed(): number {
    return (performance.now() - this.#begin) / 1000
  }

  #omit(): void {
    for (const stream of this.#streams) stream.omit()
    this.#report.restart()
    this.#cpu = new CpuMeter()
    this.#begin = performance.now()
  }
}
