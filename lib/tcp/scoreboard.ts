/**
 * What the sender knows to have arrived beyond SND.UNA, from the SACK option (RFC 2018), and what follows from it
 * (RFC 6675): which bytes are lost, how many are in the network, what to send again next. It is also of use without
 * SACK: then it knows of nothing that arrived, and the sender says what is lost, after a timeout or a partial
 * acknowledgment. It holds 1024 ranges at most, and an acknowledgment costs no more than a look at each of them
 * (hardening: CVE-2019-11478); what a peer tells beyond that is not believed, which is always safe.
 */
import type { TcpOptions } from '../wire/tcp-options.ts'
import { RangeSet } from './range-set.ts'
import { seqGe, seqLe, seqLt, seqMax, seqMin } from './sequence.ts'

/** Ranges that are remembered. */
export const MAX_SACKED_RANGES = 1024

export class Scoreboard {
  /** Ranges, or so many segments, that must have arrived above a byte for it to be lost (`tcp_reordering`). */
  dupThresh = 3
  /** SMSS. */
  mss = 536
  /** The last {@link update} had a block that reports a duplicate (RFC 2883): these are its edges. */
  dsack = false
  dsackLeft = 0
  dsackRight = 0
  /** Bytes beyond SND.UNA that have arrived. */
  sackedBytes = 0
  /** Set by {@link nextHole}. */
  holeLeft = 0
  holeRight = 0
  readonly #sacked = new RangeSet()
  #una = 0
  /** Everything below that was not reported is lost: by what was reported above, or because the sender said so. */
  #lostTo = 0
  /** Everything below that is lost was sent again (HighRxt). */
  #highRxt = 0

  /** A new connection, whose first byte is `una`. */
  reset(una: number): void {
    this.#sacked.clear()
    this.sackedBytes = 0
    this.#una = this.#lostTo = this.#highRxt = una
    this.dsack = false
  }

  /** Everything before `una` is acknowledged. */
  advance(una: number): void {
    if (seqLe(una, this.#una)) return
    this.#una = una
    if (this.sackedBytes > 0) this.sackedBytes -= this.#sacked.removeBefore(una)
    this.#lostTo = seqMax(this.#lostTo, una)
    this.#highRxt = seqMax(this.#highRxt, una)
  }

  /**
   * Takes the SACK blocks of a segment whose SEG.ACK is `ack`; SND.UNA, after that, is `una`. Blocks that lie outside
   * [SND.UNA, SND.NXT] or are none are ignored. Gives how many bytes were not known to have arrived.
   */
  update(options: TcpOptions, ack: number, una: number, nxt: number): number {
    this.advance(una)
    this.dsack = false
    if (options.sackCount === 0) return 0
    let first = 0
    if (this.#findDuplicate(options, ack, nxt)) first = 1
    let fresh = 0
    for (let i = first; i < options.sackCount; i++) {
      const right = options.sackRight[i]!
      // What an older acknowledgment said may have been acknowledged in part.
      const left = seqMax(options.sackLeft[i]!, una)
      if (seqLt(options.sackLeft[i]!, right) && seqLt(left, right) && seqLe(right, nxt)) {
        fresh += this.#add(left, right)
      }
    }
    this.sackedBytes += fresh
    if (fresh > 0) this.#lostTo = seqMax(this.#lostTo, this.#lossEdge())
    return fresh
  }

  /** The first byte behind all that has arrived or been acknowledged (`snd_fack`). */
  get forwardAck(): number {
    const { count, right } = this.#sacked
    return count === 0 ? this.#una : right[count - 1]!
  }

  get ranges(): number {
    return this.#sacked.count
  }

  /** Everything before is acknowledged, has arrived, or is lost. */
  get lostTo(): number {
    return this.#lostTo
  }

  /** Everything lost before has been sent again. */
  get highRxt(): number {
    return this.#highRxt
  }

  isSacked(seq: number): boolean {
    const index = this.#sacked.firstEndingFrom((seq + 1) | 0)
    return index < this.#sacked.count && seqLe(this.#sacked.left[index]!, seq)
  }

  /** Whether the byte `seq`, at SND.UNA or beyond, is to be reckoned as lost (RFC 6675 §4, IsLost). */
  isLost(seq: number): boolean {
    return seqLt(seq, this.#lostTo) && !this.isSacked(seq)
  }

  /**
   * The first bytes from `from` on that are lost and were not sent again (RFC 6675 §4, NextSeg rule 1): `holeLeft`
   * and `holeRight` are their edges. `false` if there are none.
   */
  nextHole(from: number): boolean {
    return this.#unsackedRun(seqMax(from, this.#highRxt), this.#lostTo)
  }

  /**
   * The first bytes from `from` on that have not arrived, were not sent again, and lie below something that has
   * arrived, lost or not (NextSeg rule 3): worth a segment when there is no new data.
   */
  nextUnsacked(from: number): boolean {
    return this.#unsackedRun(seqMax(from, this.#highRxt), this.forwardAck)
  }

  /** What was lost up to `seq` has been sent again. */
  retransmitted(seq: number): void {
    this.#highRxt = seqMax(this.#highRxt, seq)
  }

  /** The sender says that everything up to `seq` is lost that is not known to have arrived. */
  markLostTo(seq: number): void {
    this.#lostTo = seqMax(this.#lostTo, seq)
  }

  /**
   * The retransmission timer ran out: everything up to `nxt` that has not arrived is lost, also what was sent again.
   * If the first byte is among what is said to have arrived, the peer has thrown it away again (RFC 2018 §8): `true`,
   * and nothing that it said is believed any longer.
   */
  timeout(nxt: number): boolean {
    const { count, left } = this.#sacked
    const reneged = count > 0 && seqLe(left[0]!, this.#una)
    if (reneged) {
      this.#sacked.clear()
      this.sackedBytes = 0
    }
    this.#lostTo = seqMax(this.#lostTo, nxt)
    this.#highRxt = this.#una
    return reneged
  }

  /** Recovery begins: nothing has been sent again yet. */
  startRecovery(): void {
    this.#highRxt = this.#una
  }

  /** Recovery is over, or turned out to be a mistake: nothing is lost but what reports say. */
  endRecovery(): void {
    this.#highRxt = this.#una
    this.#lostTo = seqMax(this.#una, this.#lossEdge())
  }

  /** Bytes that are in the network, by what is known (RFC 6675 §4, SetPipe). */
  pipe(nxt: number): number {
    const outstanding = (nxt - this.#una) >>> 0
    if (this.#lostTo === this.#una && this.#highRxt === this.#una) return outstanding - this.sackedBytes
    const lostTo = seqMin(this.#lostTo, nxt)
    const lost = this.#unsackedBelow(lostTo)
    const again = this.#unsackedBelow(seqMin(this.#highRxt, nxt))
    return outstanding - this.sackedBytes - lost + again
  }

  /** Bytes that are lost and were not sent again. */
  get lostBytes(): number {
    return Math.max(0, this.#unsackedBelow(this.#lostTo) - this.#unsackedBelow(this.#highRxt))
  }

  #unsackedBelow(seq: number): number {
    const { count, left, right } = this.#sacked
    let sacked = 0
    for (let i = 0; i < count && seqLt(left[i]!, seq); i++) {
      sacked += (seqMin(right[i]!, seq) - left[i]!) | 0
    }
    return ((seq - this.#una) | 0) - sacked
  }

  #unsackedRun(from: number, to: number): boolean {
    const { left, right, count } = this.#sacked
    let at = from
    let index = this.#sacked.firstEndingFrom((at + 1) | 0)
    if (index < count && seqLe(left[index]!, at)) at = right[index++]!
    if (seqGe(at, to)) return false
    this.holeLeft = at
    this.holeRight = index < count ? seqMin(left[index]!, to) : to
    return true
  }

  /** Whether the first block reports a duplicate (RFC 2883 §4): it is below SEG.ACK, or within the second. */
  #findDuplicate(options: TcpOptions, ack: number, nxt: number): boolean {
    const left = options.sackLeft[0]!
    const right = options.sackRight[0]!
    const below = seqLt(left, ack)
    const within =
      !below &&
      options.sackCount > 1 &&
      seqGe(left, options.sackLeft[1]!) &&
      seqLe(right, options.sackRight[1]!)
    if (!below && !within) return false
    if (seqLt(left, right) && seqLe(right, nxt)) {
      this.dsack = true
      this.dsackLeft = left
      this.dsackRight = right
    }
    return true
  }

  /** Gives how many bytes of [left, right) were new. */
  #add(left: number, right: number): number {
    const sacked = this.#sacked
    const first = sacked.firstEndingFrom(left)
    const last = sacked.behindLastBeginningUntil(right, first)
    if (first === last && sacked.count === MAX_SACKED_RANGES) return 0
    const fresh = ((right - left) | 0) - sacked.coveredOf(left, right, first, last)
    if (fresh > 0) sacked.merge(first, last, left, right)
    return fresh
  }

  /**
   * Everything before that has not arrived is lost: there are `dupThresh` ranges above it, or more than
   * (`dupThresh` − 1) × SMSS bytes in them.
   */
  #lossEdge(): number {
    const { left, right, count } = this.#sacked
    let bytes = 0
    for (let i = count - 1; i >= 0; i--) {
      bytes += (right[i]! - left[i]!) | 0
      if (count - i >= this.dupThresh || bytes > (this.dupThresh - 1) * this.mss) return left[i]!
    }
    return this.#una
  }
}
