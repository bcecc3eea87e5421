/**
 * What a series of pings gave, probe by probe, and the summary that iputils prints of it.
 */

/** One echo request and what came of it. */
export interface PingProbe {
  /** 1 for the first; the ICMP sequence number is its low 16 bits. */
  sequence: number
  /** `reply`, `timeout`, or what kept it from being answered. */
  outcome: 'reply' | 'timeout' | 'error'
  /** Who answered, or who sent the error. */
  from?: string
  /** TTL of the reply. */
  ttl?: number
  /** Bytes of ICMP in the reply: header and data. */
  bytes?: number
  /** Round-trip time in milliseconds. */
  rtt?: number
  /** More replies to the same request (`DUP!`). */
  duplicates: number
  /** The reply's data differed from what was sent, first at this offset. */
  damagedAt?: number
  /** Errno name for an error: `EHOSTUNREACH`; and the ICMP type and code, if one came. */
  code?: string
  icmp?: { type: number; code: number; info: number }
}

/** The whole series. Times in milliseconds. */
export interface PingResult {
  address: string
  /** The latest probes, as many as `PingOptions.keep` says; all of a short series. */
  probes: PingProbe[]
  transmitted: number
  received: number
  duplicates: number
  errors: number
  damaged: number
  /** 0…1 */
  loss: number
  /** From the first request to the end. */
  time: number
  /** Absent if nothing was received. */
  rtt?: { min: number; avg: number; max: number; mdev: number }
  /** The lines that `ping` of iputils ends with. */
  summary: string
}

/** Adds a series up as it goes on, so that its length costs no memory; the latest probes are kept. */
export class PingTally {
  readonly #keep: number
  readonly #probes: PingProbe[] = []
  #transmitted = 0
  #received = 0
  #duplicates = 0
  #errors = 0
  #damaged = 0
  #min = Number.POSITIVE_INFINITY
  #max = 0
  #sum = 0
  #squares = 0

  /** @param keep how many probes to keep */
  constructor(keep: number) {
    this.#keep = keep
  }

  /** Requests sent. */
  get transmitted(): number {
    return this.#transmitted
  }

  /** A request was sent. Gives the probe that is not kept any more for it, if there is one. */
  sent(probe: PingProbe): PingProbe | undefined {
    this.#transmitted++
    this.#probes.push(probe)
    return this.#probes.length > this.#keep ? this.#probes.shift() : undefined
  }

  /** A request came to its end: it has its outcome. */
  settled({ outcome, rtt = 0, damagedAt }: PingProbe): void {
    if (outcome === 'error') this.#errors++
    if (outcome !== 'reply') return
    this.#received++
    if (damagedAt !== undefined) this.#damaged++
    this.#min = Math.min(this.#min, rtt)
    this.#max = Math.max(this.#max, rtt)
    this.#sum += rtt
    this.#squares += rtt * rtt
  }

  /** One more reply to a request that had one. */
  duplicate(probe: PingProbe): void {
    probe.duplicates++
    this.#duplicates++
  }

  /** @param time milliseconds from the first request to the last event */
  result(address: string, time: number): PingResult {
    const transmitted = this.#transmitted
    const received = this.#received
    const result: PingResult = {
      address,
      probes: this.#probes,
      transmitted,
      received,
      duplicates: this.#duplicates,
      errors: this.#errors,
      damaged: this.#damaged,
      loss: transmitted === 0 ? 0 : (transmitted - received) / transmitted,
      time,
      summary: '',
    }
    if (received > 0) {
      const avg = this.#sum / received
      const mdev = Math.sqrt(Math.max(0, this.#squares / received - avg * avg))
      result.rtt = { min: this.#min, avg, max: this.#max, mdev }
    }
    result.summary = formatSummary(result)
    return result
  }
}

/** The last lines of iputils' `ping`. */
function formatSummary(result: PingResult): string {
  const parts = [`${result.transmitted} packets transmitted`, `${result.received} received`]
  if (result.duplicates > 0) parts.push(`+${result.duplicates} duplicates`)
  if (result.damaged > 0) parts.push(`+${result.damaged} corrupted`)
  if (result.errors > 0) parts.push(`+${result.errors} errors`)
  if (result.transmitted > 0) {
    parts.push(`${formatPercent(result.loss * 100)}% packet loss`)
    parts.push(`time ${Math.floor(result.time)}ms`)
  }
  const lines = [`--- ${result.address} ping statistics ---`, parts.join(', ')]
  const { rtt } = result
  if (rtt !== undefined) {
    const values = [rtt.min, rtt.avg, rtt.max, rtt.mdev].map((ms) => ms.toFixed(3)).join('/')
    lines.push(`rtt min/avg/max/mdev = ${values} ms`)
  }
  return `${lines.join('\n')}\n`
}

/** As C's `%g` with six digits. */
function formatPercent(percent: number): string {
  return String(Number(percent.toPrecision(6)))
}
