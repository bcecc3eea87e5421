/**
 * The local port of a connection that does not ask for one: the double-hash selection of RFC 6056 §3.3.4 as Linux
 * has it. Where the search for a free port begins is a keyed hash of addresses, peer's port and the time in steps of
 * 10 s, plus a counter; which of 65536 counters, each with a random start, is a second hash. So an outsider cannot
 * tell the next port from those that he sees (CVE-2022-1012 is what a small table of counters gives away), and one
 * destination still gets the ports in turn, so that none comes back soon. Ports of the parity of the first one of
 * the range come first: the others are left to programs that bind before they connect.
 */
import { FlowKey, setPorts } from '../demux/flow-key.ts'
import type { PortRange } from '../demux/ports.ts'
import type { Random } from '../random/random.ts'
import { HalfSipHash } from '../random/siphash.ts'
import { SECOND } from '../time/clock.ts'

const COUNTERS = 1 << 16
/** How long the hashes stay the same. */
const SHUFFLE_PERIOD = 10 * SECOND

/** Local and remote address. */
const ADDRESS_WORDS = FlowKey.PORTS

export class EphemeralPorts {
  readonly #random: Random
  readonly #offsetHash: HalfSipHash
  readonly #counterHash: HalfSipHash
  /** Made when first needed: a host that only listens has none. */
  #counters: Uint16Array | null = null
  readonly #input = new Int32Array(ADDRESS_WORDS + 2)

  /** Draws two keys. */
  constructor(random: Random) {
    this.#random = random
    this.#offsetHash = new HalfSipHash(random.int32(), random.int32())
    this.#counterHash = new HalfSipHash(random.int32(), random.int32())
  }

  /**
   * A port of `range` for the flow of `key`, whose addresses and remote port are set: puts it into `key` and gives
   * it; 0 if there is none. `isFree` is asked with the port in the key, and says whether the four-tuple is nobody's,
   * neither a connection's nor that of a TIME-WAIT that may not be used again.
   */
  pick(key: Int32Array, range: PortRange, now: number, isFree: (key: Int32Array) => boolean): number {
    const remotePort = key[FlowKey.PORTS]! & 0xffff
    const input = this.#input
    for (let i = 0; i < ADDRESS_WORDS; i++) input[i] = key[i]!
    input[ADDRESS_WORDS] = remotePort
    input[ADDRESS_WORDS + 1] = Math.floor(now / SHUFFLE_PERIOD)
    const counters = this.#table()
    const counter = this.#counterHash.words(input, 0, input.length) & (COUNTERS - 1)
    const size = range.high - range.low + 1
    const start = ((this.#offsetHash.words(input, 0, input.length) >>> 0) + counters[counter]!) % size
    // Both parities, the preferred one first; a step of 2 keeps to one.
    const first = start & ~1
    for (let parity = 0; parity < 2; parity++) {
      const count = (size - parity + 1) >>> 1
      for (let i = 0; i < count; i++) {
        const port = range.low + ((first + 2 * i) % (2 * count)) + parity
        setPorts(key, port, remotePort)
        if (!isFree(key)) continue
        this.#advance(counters, counter, 2 * i)
        return port
      }
    }
    setPorts(key, 0, remotePort)
    return 0
  }

  /** The next search begins behind this port; once in sixteen times one is left out, for noise. */
  #advance(counters: Uint16Array, counter: number, distance: number): void {
    const skipped = distance === 0 && this.#random.below(16) === 0 ? 2 : distance
    counters[counter]! += skipped + 2
  }

  #table(): Uint16Array {
    if (this.#counters === null) {
      this.#counters = new Uint16Array(COUNTERS)
      const words = new Int32Array(this.#counters.buffer)
      for (let i = 0; i < words.length; i++) words[i] = this.#random.int32()
    }
    return this.#counters
  }
}
