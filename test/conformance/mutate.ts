/** Packets that are almost right: real ones, changed in the ways in which parsers have been fooled. */
import { seededRandom } from '../../lib/index.ts'
import { type Bytes, concat, fragments, internetChecksum, pattern } from './packets.ts'

/** Small whole numbers from a seed: the same seed gives the same ones. */
export class Dice {
  readonly #source
  readonly #bytes = new Uint8Array(4)

  constructor(seed: number) {
    this.#source = seededRandom(seed)
  }

  /** 0…n-1 */
  below(n: number): number {
    this.#source.fill(this.#bytes)
    const [a, b, c, d] = this.#bytes
    return (((a! << 24) | (b! << 16) | (c! << 8) | d!) >>> 0) % n
  }

  chance(percent: number): boolean {
    return this.below(100) < percent
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)]!
  }
}

const WORDS = [
  0, 1, 7, 8, 20, 21, 28, 60, 576, 0x1fff, 0x2000, 0x3fff, 0x4000, 0x7fff, 0x8000, 0xfffe, 0xffff,
]

type Mutation = (packet: Bytes, dice: Dice, corpus: readonly Bytes[]) => Bytes

/** Where lengths, offsets, types and flags are in the headers of most packets. */
const TELLING = [0, 1, 2, 3, 6, 7, 8, 9, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 32, 33, 48, 49]

const MUTATIONS: readonly Mutation[] = [
  function flipBits(packet, dice) {
    for (let flips = 1 + dice.below(8); flips > 0 && packet.length > 0; flips--) {
      packet[dice.below(packet.length)]! ^= 1 << dice.below(8)
    }
    return packet
  },
  function flipTelling(packet, dice) {
    for (let flips = 1 + dice.below(3); flips > 0; flips--) {
      const at = dice.pick(TELLING)
      if (at < packet.length) packet[at] = dice.below(256)
    }
    return packet
  },
  function truncate(packet, dice) {
    return packet.slice(0, dice.below(packet.length + 1))
  },
  function extend(packet, dice) {
    return concat(packet, new Uint8Array(dice.below(80)).fill(dice.below(256)))
  },
  function lie(packet, dice) {
    const at = dice.chance(60) ? dice.pick(TELLING) & ~1 : dice.below(packet.length + 1) & ~1
    const word = dice.pick(WORDS)
    if (at + 1 < packet.length) packet.set([word >>> 8, word & 0xff], at)
    return packet
  },
  function splice(packet, dice, corpus) {
    const other = dice.pick(corpus)
    return concat(packet.subarray(0, dice.below(packet.length + 1)), other.subarray(dice.below(other.length)))
  },
  insertOptions,
  function makeFragment(packet, dice) {
    if (packet.length < 8) return packet
    const word =
      (dice.chance(60) ? 0x2000 : 0) | dice.pick([0, 0, 1, 2, 3, 60, 64, 185, 8191, dice.below(8192)])
    packet.set([word >>> 8, word & 0xff], 6)
    if (dice.chance(70)) packet.set([0, dice.below(4)], 4) // few identifications, so that fragments meet
    return packet
  },
]

/** Options that are mostly well-formed: type, length, pointer, and anything. */
function insertOptions(packet: Bytes, dice: Dice): Bytes {
  const room = 4 * (1 + dice.below(10))
  const options: number[] = []
  while (options.length < room) {
    const type = dice.pick([0, 1, 7, 7, 0x44, 0x44, 0x83, 0x89, 0x94, 0x9e, dice.below(256)])
    if (type <= 1) options.push(type)
    else {
      const length = dice.chance(80) ? 2 + dice.below(room - options.length + 1) : dice.below(256)
      options.push(
        type,
        length,
        dice.chance(80) ? 4 + (dice.below(4) & ~1) * 2 : dice.below(256),
        dice.below(4),
      )
      while (options.length < room && dice.chance(85)) options.push(dice.below(3) === 0 ? dice.below(256) : 0)
    }
  }
  const longer = concat(packet.subarray(0, 20), options.slice(0, room), packet.subarray(20))
  longer[0] = 0x45 + room / 4
  return longer
}

/** Total length, header checksum and the checksum of ICMP as they ought to be, as far as the packet goes. */
function mend(packet: Bytes): void {
  if (packet.length < 20) return
  const headerLength = Math.max(20, Math.min((packet[0]! & 15) * 4, packet.length))
  if (packet[9] === 1 && headerLength + 4 <= packet.length && (packet[6]! & 0x3f) === 0 && packet[7] === 0) {
    packet[headerLength + 2] = packet[headerLength + 3] = 0
    store(packet, headerLength + 2, internetChecksum(packet.subarray(headerLength)))
  }
  mendHeader(packet)
}

function mendHeader(packet: Bytes): void {
  if (packet.length < 20) return
  const headerLength = Math.max(20, Math.min((packet[0]! & 15) * 4, packet.length))
  packet[10] = packet[11] = 0
  store(packet, 10, internetChecksum(packet.subarray(0, headerLength)))
}

function store(packet: Bytes, at: number, word: number): void {
  packet[at] = word >>> 8
  packet[at + 1] = word
}

/** One packet that nobody would send. */
export function mutate(dice: Dice, corpus: readonly Bytes[], destinations: readonly number[][]): Bytes {
  let packet = dice.pick(corpus).slice()
  if (packet.length >= 20) {
    if (dice.chance(85)) packet.set(dice.pick(destinations), 16)
    if (dice.chance(20)) packet.set(dice.pick(destinations), 12)
  }
  for (let changes = dice.below(4); changes > 0; changes--)
    packet = dice.pick(MUTATIONS)(packet, dice, corpus)
  if (packet.length > 60_000) packet = packet.slice(0, 60_000)
  if (packet.length >= 4 && dice.chance(80)) store(packet, 2, packet.length)
  if (dice.chance(90)) mend(packet)
  return packet
}

/** The fragments of a datagram, in any order, perhaps with one too many, too few or wrong, or with options. */
export function mutateTrain(
  dice: Dice,
  corpus: readonly Bytes[],
  destinations: readonly number[][],
): Bytes[] {
  const whole = concat(dice.pick(corpus).slice(0, 28), pattern(dice.below(4000), dice.below(9)))
  if (whole.length < 28) return []
  whole[0] = 0x45
  whole.set([0, dice.below(6), 0, 0], 4)
  if (dice.chance(80)) whole[9] = dice.pick([1, 1, 17, 6])
  whole.set(dice.pick(destinations), 16)
  if (whole[9] === 1 && dice.chance(80)) whole[20] = 8
  mend(whole)
  const pieces = fragments(whole, 8 * (1 + dice.below(dice.chance(30) ? 8 : 185))).slice(0, 64)
  for (let i = 0; i < pieces.length; i++) {
    if (dice.chance(15)) pieces[i] = insertOptions(pieces[i]!, dice)
    if (dice.chance(3)) pieces[i] = dice.pick(MUTATIONS)(pieces[i]!.slice(), dice, corpus)
    const piece = pieces[i]!
    if (piece.length >= 20) store(piece, 2, piece.length)
    mendHeader(piece)
  }
  for (let changes = dice.below(3); changes > 0; changes--) {
    const at = dice.below(pieces.length)
    const other = dice.below(pieces.length)
    const kept = pieces[at]!
    if (dice.chance(60)) {
      pieces[at] = pieces[other]!
      pieces[other] = kept
    } else if (dice.chance(50)) pieces.push(kept.slice())
    else if (pieces.length > 1) pieces.splice(at, 1)
  }
  return dice.chance(30) ? pieces.reverse() : pieces
}
