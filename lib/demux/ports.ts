/**
 * Ephemeral ports (RFC 6056): who guesses the port of a flow can forge packets for it, so the port is drawn at
 * random over the whole range. A few independent draws come first (algorithm 2 of the RFC: no port is likelier
 * because its neighbours are taken); if the range is nearly full, a sweep from a random start finds what is left.
 */
import { invalidArgument } from '../errors.ts'
import type { Random } from '../random/random.ts'

/** Independent draws before the sweep: enough while less than three quarters are taken. */
const DRAWS = 16

/** The ports that may be given out (`net.ipv4.ip_local_port_range`), both ends included. */
export class PortRange {
  readonly low: number
  readonly high: number

  /** @throws TunstackError `ERR_INVALID_ARG_VALUE` unless 1 ≤ low ≤ high ≤ 65535 */
  constructor(low: number, high: number) {
    if (!Number.isInteger(low) || !Number.isInteger(high) || low < 1 || high > 65535 || low > high) {
      throw invalidArgument('port range', `${low} ${high}`, 'two ports, the lower first, such as 32768 60999')
    }
    this.low = low
    this.high = high
  }
}

/** A port of `range` for which `isFree` says yes; 0 if it says no to all. */
export function pickPort(range: PortRange, random: Random, isFree: (port: number) => boolean): number {
  const size = range.high - range.low + 1
  for (let i = 0; i < DRAWS; i++) {
    const port = range.low + random.below(size)
    if (isFree(port)) return port
  }
  const start = random.below(size)
  for (let i = 0; i < size; i++) {
    const port = range.low + ((start + i) % size)
    if (isFree(port)) return port
  }
  return 0
}
