/**
 * The Internet checksum (RFC 1071): the one's complement of the one's-complement sum of big-endian 16-bit words.
 * Sums come unfolded and uncomplemented, so that header, pseudo-header and body can be chained; the last step is
 * {@link fold} or {@link checksum}. Incremental updates follow RFC 1624, so that forwarding and translation never
 * have to read a packet again.
 *
 * The sum does not depend on the byte order in which it is taken (RFC 1071 §2(B)), so the bytes are read as 32-bit
 * words of the host through a view that is kept per array: packets of one arena share one view. Long runs go
 * through vectors where the runtime has them ({@link sumSimd}).
 */
import { sumSimd } from './checksum-simd.ts'

/** Whether this machine has the low byte of a word first. */
export const LITTLE_ENDIAN: boolean = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1

/** From here on, vectors are faster although the bytes are copied for them (crossover measured: about 350 bytes). */
const SIMD = 512
/** From here on, words are added as doubles (2^53 holds 2^21 of them) and folded once; below, as two integer halves. */
const LONG = 512
/** Below this, as for a header without options, a pair of bytes at a time is as fast, and needs no view. */
const SHORT = 24

/** The arrays of the last calls, each with 32-bit words over the same buffer. Two, since a path alternates at most so. */
let bytes0: Uint8Array | null = null
let words0: Uint32Array = new Uint32Array(0)
let offset0 = 0
let bytes1: Uint8Array | null = null
let words1: Uint32Array = words0
let offset1 = 0
/** The array that missed last: a short sum makes a view only when the same array misses twice in a row. */
let candidate: Uint8Array | null = null

function hit(bytes: Uint8Array, length: number): boolean {
  const second = bytes === bytes1
  if (!second && length < LONG && bytes !== candidate) {
    candidate = bytes
    return false
  }
  const words = second ? words1 : new Uint32Array(bytes.buffer, 0, bytes.buffer.byteLength >>> 2)
  const offset = second ? offset1 : bytes.byteOffset
  bytes1 = bytes0
  words1 = words0
  offset1 = offset0
  bytes0 = bytes
  words0 = words
  offset0 = offset
  candidate = null
  return true
}

/** A pair of bytes at a time: for what is short, and for what no view covers. */
function sumPairs(bytes: Uint8Array, start: number, end: number, initial: number): number {
  let sum = initial
  const last = end - 1
  let at = start
  for (; at < last; at += 2) sum += (bytes[at]! << 8) | bytes[at + 1]!
  if (at === last) sum += bytes[at]! << 8
  return sum
}

/**
 * The one's-complement sum of `bytes[start…end)` as big-endian 16-bit words, plus `initial`. An odd last byte counts
 * as the high half of a word; so a sum may be the `initial` of the next only if it covered an even number of bytes.
 * The result is not complemented and may be over 16 bits.
 */
export function sum(bytes: Uint8Array, start: number, end: number, initial = 0): number {
  if (end - start >= SIMD) {
    const vectors = sumSimd(bytes, start, end)
    if (vectors >= 0) return initial + vectors
  }
  return sumWords(bytes, start, end, initial)
}

/** The same in plain JavaScript, whatever the length. */
export function sumWords(bytes: Uint8Array, start: number, end: number, initial = 0): number {
  const length = end - start
  if (length < SHORT || (bytes !== bytes0 && !hit(bytes, length))) {
    return sumPairs(bytes, start, end, initial)
  }
  const words = words0
  const offset = offset0
  const first = (offset + start + 3) >>> 2
  const last = (offset + end) >>> 2
  // The buffer has shrunk, grown or gone since the view was made: rare enough to go the slow way.
  if (last > words.length) return sumPairs(bytes, start, end, initial)

  // What sticks out on both sides, already in network order.
  let edges = 0
  const head = (first << 2) - offset
  for (let at = start; at < head; at++) edges += ((at - start) & 1) === 0 ? bytes[at]! << 8 : bytes[at]!
  for (let at = (last << 2) - offset; at < end; at++) {
    edges += ((at - start) & 1) === 0 ? bytes[at]! << 8 : bytes[at]!
  }

  let inner = length < LONG ? sumHalves(words, first, last) : sumDoubles(words, first, last)
  // Host order and network order differ by a swap, and an odd start swaps once more.
  if ((((head - start) & 1) === 0) === LITTLE_ENDIAN) inner = ((inner & 0xff) << 8) | (inner >>> 8)
  return initial + edges + inner
}

/** Folded sum in host order. The halves of fewer than 2^15 words cannot overflow 31 bits. */
function sumHalves(words: Uint32Array, first: number, last: number): number {
  let low = 0
  let high = 0
  let at = first
  for (const stop = last - 4; at <= stop; at += 4) {
    const a = words[at]!
    const b = words[at + 1]!
    const c = words[at + 2]!
    const d = words[at + 3]!
    low = (low + (a & 0xffff) + (b & 0xffff) + (c & 0xffff) + (d & 0xffff)) | 0
    high = (high + (a >>> 16) + (b >>> 16) + (c >>> 16) + (d >>> 16)) | 0
  }
  for (; at < last; at++) {
    const a = words[at]!
    low = (low + (a & 0xffff)) | 0
    high = (high + (a >>> 16)) | 0
  }
  return fold16(low + high)
}

/** Folded sum in host order, of fewer than 2^21 words. */
function sumDoubles(words: Uint32Array, first: number, last: number): number {
  let total = 0
  let at = first
  for (const stop = last - 8; at <= stop; at += 8) {
    total +=
      words[at]! +
      words[at + 1]! +
      words[at + 2]! +
      words[at + 3]! +
      words[at + 4]! +
      words[at + 5]! +
      words[at + 6]! +
      words[at + 7]!
  }
  for (; at < last; at++) total += words[at]!
  const low = total >>> 0
  return fold16((low >>> 16) + (low & 0xffff) + (total - low) / 0x100000000)
}

/** For sums below 2^32. */
function fold16(sum: number): number {
  const once = (sum >>> 16) + (sum & 0xffff)
  return ((once >>> 16) + once) & 0xffff
}

/** Brings a sum (any non-negative integer) down to 16 bits with end-around carry. Not complemented. */
export function fold(sum: number): number {
  return fold16(sum <= 0xffffffff ? sum : sum % 0xffff || 0xffff)
}

/**
 * The checksum of `bytes[start…end)`, complemented: what is stored in a header whose checksum field counts as 0.
 * Over a header with a right checksum in it the result is 0.
 */
export function checksum(bytes: Uint8Array, start: number, end: number, initial = 0): number {
  return ~fold(sum(bytes, start, end, initial)) & 0xffff
}

/**
 * The checksum after one 16-bit word that it covers has changed: HC' = ~(~HC + ~m + m') (RFC 1624 eq. 3).
 * The form with subtraction (eq. 4) would give 0x0000 where recomputing gives 0xffff and the other way round.
 */
export function updateChecksum16(check: number, oldWord: number, newWord: number): number {
  return ~fold16((~check & 0xffff) + (~oldWord & 0xffff) + (newWord & 0xffff)) & 0xffff
}

/** The same for a 32-bit value at an even offset, such as an address (signed or unsigned). */
export function updateChecksum32(check: number, oldValue: number, newValue: number): number {
  return (
    ~fold16(
      (~check & 0xffff) + (~oldValue >>> 16) + (~oldValue & 0xffff) + (newValue >>> 16) + (newValue & 0xffff),
    ) & 0xffff
  )
}

/**
 * The sum of the IPv4 pseudo-header (RFC 768, RFC 9293 §3.1), to be the `initial` of the sum over header and body.
 * `length` is that of the transport header and body in bytes.
 */
export function pseudoHeaderSum(
  source: number,
  destination: number,
  protocol: number,
  length: number,
): number {
  return (
    (source >>> 16) +
    (source & 0xffff) +
    (destination >>> 16) +
    (destination & 0xffff) +
    protocol +
    (length >>> 16) +
    (length & 0xffff)
  )
}
