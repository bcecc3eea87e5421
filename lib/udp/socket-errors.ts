/**
 * What ICMP has said about what a socket sent: the error that its next call has to fail with, the reports that a
 * program wants to read (`IP_RECVERR`), and those that it wants to be told of.
 */
import { formatIpv4, type Ipv4Address } from '../address/ipv4-address.ts'
import { errnoName } from '../errors.ts'
import type { IcmpErrorInfo } from '../ipv4/context.ts'
import type { UdpErrorReport } from './udp-options.ts'

/** Reports that wait at most; the oldest goes. */
const MAX_REPORTS = 100

export class SocketErrors {
  /** Positive errno that the next call has to fail with; 0 if there is none. */
  errno = 0
  readonly #kept: UdpErrorReport[] | null
  readonly #tell: ((report: UdpErrorReport) => void) | undefined
  readonly #news: UdpErrorReport[] = []

  /** @param keep reports, and have each error fail the next call */
  constructor(keep: boolean, tell: ((report: UdpErrorReport) => void) | undefined) {
    this.#kept = keep ? [] : null
    this.#tell = tell
  }

  /** There is something for {@link tell}. */
  get hasNews(): boolean {
    return this.#news.length > 0
  }

  /** @param connected the socket has a peer: what is fatal fails its next call (`__udp4_lib_err`) */
  add(error: IcmpErrorInfo, address: Ipv4Address, port: number, fatal: boolean, connected: boolean): void {
    const kept = this.#kept
    if (this.#tell !== undefined || kept !== null) {
      const report: UdpErrorReport = {
        code: errnoName(error.errno),
        address: formatIpv4(address),
        port,
        reporter: formatIpv4(error.reporter),
        icmp: { type: error.type, code: error.code, info: error.info },
        fatal,
      }
      if (kept !== null) {
        if (kept.length >= MAX_REPORTS) kept.shift()
        kept.push(report)
      }
      if (this.#tell !== undefined && this.#news.length < MAX_REPORTS) this.#news.push(report)
    }
    if (kept !== null || (fatal && connected)) this.errno = error.errno
  }

  /** Tells what is new; what comes behind a callback that throws is told the next time. */
  tell(): void {
    for (let report = this.#news.shift(); report !== undefined; report = this.#news.shift())
      this.#tell!(report)
  }

  /** The oldest that is kept. */
  read(): UdpErrorReport | undefined {
    return this.#kept?.shift()
  }

  /** {@link errno}, once. */
  take(): number {
    const { errno } = this
    this.errno = 0
    return errno
  }
}
