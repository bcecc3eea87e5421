/**
 * The options of a TCP segment (RFC 9293 §3.2, RFC 7323, RFC 2018), read into an object that the caller reuses and
 * written in place. As in Linux, reading stops where the list makes no sense: what came before counts, the rest is
 * ignored, and the segment is as good as any other (RFC 9293 MUST-7 asks for no more than not to crash).
 */
import { TcpOption } from './tcp.ts'

/** Larger shifts count as this one (RFC 7323 §2.3). */
export const MAX_WINDOW_SCALE = 14

/** All that fits between the fixed header and the largest data offset. */
export const TCP_MAX_OPTIONS = 40

/** Bytes of the option with the two NOPs before it: it is sent in every segment once agreed on. */
export const TCP_TIMESTAMPS_LENGTH = 12

/** SACK blocks that fit: four alone, three beside timestamps (RFC 2018 §3). */
export const MAX_SACK_BLOCKS = 4

const MSS_LENGTH = 4
const WINDOW_SCALE_LENGTH = 3
const SACK_PERMITTED_LENGTH = 2
const TIMESTAMPS_LENGTH = 10
const SACK_BLOCK_LENGTH = 8

/** NOP NOP TIMESTAMPS 10, as everybody sends it (RFC 7323 appendix A). */
const ALIGNED_TIMESTAMPS = 0x0101080a

/** What a segment's options say. All numbers of 32 bits are signed. */
export class TcpOptions {
  /** 0: the option is not there. */
  mss = 0
  /** −1: the option is not there. */
  windowScale = -1
  sackPermitted = false
  timestamps = false
  tsValue = 0
  tsEcho = 0
  /** How many of the blocks below count. */
  sackCount = 0
  /** First sequence number of each block. */
  readonly sackLeft: Int32Array = new Int32Array(MAX_SACK_BLOCKS)
  /** The number behind the last of each block. */
  readonly sackRight: Int32Array = new Int32Array(MAX_SACK_BLOCKS)
}

/** Options of a segment that has SYN. */
export interface SynOptions {
  /** 0 leaves it out. */
  mss: number
  /** −1 leaves it out. */
  windowScale: number
  sackPermitted: boolean
  timestamps: boolean
  tsValue: number
  tsEcho: number
}

function read32(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!
}

function write32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24
  bytes[at + 1] = value >>> 16
  bytes[at + 2] = value >>> 8
  bytes[at + 3] = value
}

/**
 * Reads the options `bytes[start…end)` into `out`, all of whose fields it sets. `false` if the list breaks off; what
 * was read until then stands. Unknown options, and known ones of a wrong length, are skipped (MUST-6).
 */
export function parseTcpOptions(bytes: Uint8Array, start: number, end: number, out: TcpOptions): boolean {
  out.mss = 0
  out.windowScale = -1
  out.sackPermitted = false
  out.sackCount = 0
  if (end - start === TCP_TIMESTAMPS_LENGTH && read32(bytes, start) === ALIGNED_TIMESTAMPS) {
    out.timestamps = true
    out.tsValue = read32(bytes, start + 4)
    out.tsEcho = read32(bytes, start + 8)
    return true
  }
  out.timestamps = false
  out.tsValue = 0
  out.tsEcho = 0
  for (let at = start; at < end; ) {
    const kind = bytes[at]!
    if (kind === TcpOption.END) return true
    if (kind === TcpOption.NOP) {
      at++
      continue
    }
    if (at + 2 > end) return false
    const length = bytes[at + 1]!
    if (length < 2 || at + length > end) return false
    readOption(bytes, at, kind, length, out)
    at += length
  }
  return true
}

function readOption(bytes: Uint8Array, at: number, kind: number, length: number, out: TcpOptions): void {
  switch (kind) {
    case TcpOption.MSS:
      if (length === MSS_LENGTH) {
        // 0 means nothing: it leaves an earlier one as it is.
        const mss = (bytes[at + 2]! << 8) | bytes[at + 3]!
        if (mss !== 0) out.mss = mss
      }
      break
    case TcpOption.WINDOW_SCALE:
      if (length === WINDOW_SCALE_LENGTH) out.windowScale = Math.min(bytes[at + 2]!, MAX_WINDOW_SCALE)
      break
    case TcpOption.SACK_PERMITTED:
      if (length === SACK_PERMITTED_LENGTH) out.sackPermitted = true
      break
    case TcpOption.SACK:
      if (length > 2 && (length - 2) % SACK_BLOCK_LENGTH === 0) readSack(bytes, at + 2, length - 2, out)
      break
    case TcpOption.TIMESTAMPS:
      if (length === TIMESTAMPS_LENGTH) {
        out.timestamps = true
        out.tsValue = read32(bytes, at + 2)
        out.tsEcho = read32(bytes, at + 6)
      }
      break
  }
}

function readSack(bytes: Uint8Array, at: number, length: number, out: TcpOptions): void {
  // A data offset leaves room for four; a caller may have taken another range.
  const count = Math.min(length / SACK_BLOCK_LENGTH, MAX_SACK_BLOCKS)
  for (let i = 0; i < count; i++) {
    out.sackLeft[i] = read32(bytes, at + i * SACK_BLOCK_LENGTH)
    out.sackRight[i] = read32(bytes, at + i * SACK_BLOCK_LENGTH + 4)
  }
  out.sackCount = count
}

/**
 * Writes the options of a SYN at `at` and gives their length, a multiple of 4 and at most 20, in Linux's order: MSS,
 * then SACK-permitted in the place of the NOPs before timestamps, then window scale.
 */
export function writeSynOptions(bytes: Uint8Array, at: number, options: SynOptions): number {
  let to = at
  if (options.mss !== 0) {
    write32(bytes, to, (TcpOption.MSS << 24) | (MSS_LENGTH << 16) | options.mss)
    to += 4
  }
  if (options.timestamps) {
    writeTimestamps(bytes, to, options.tsValue, options.tsEcho)
    if (options.sackPermitted) {
      bytes[to] = TcpOption.SACK_PERMITTED
      bytes[to + 1] = SACK_PERMITTED_LENGTH
    }
    to += TCP_TIMESTAMPS_LENGTH
  } else if (options.sackPermitted) {
    write32(bytes, to, 0x01010000 | (TcpOption.SACK_PERMITTED << 8) | SACK_PERMITTED_LENGTH)
    to += 4
  }
  if (options.windowScale >= 0) {
    write32(bytes, to, 0x01000000 | (TcpOption.WINDOW_SCALE << 16) | (3 << 8) | options.windowScale)
    to += 4
  }
  return to - at
}

/** Writes NOP NOP TIMESTAMPS at `at`: {@link TCP_TIMESTAMPS_LENGTH} bytes, which it gives back. */
export function writeTimestamps(bytes: Uint8Array, at: number, value: number, echo: number): number {
  write32(bytes, at, ALIGNED_TIMESTAMPS)
  write32(bytes, at + 4, value)
  write32(bytes, at + 8, echo)
  return TCP_TIMESTAMPS_LENGTH
}

/** Length of the SACK option of `count` blocks with the two NOPs before it; 0 for none. */
export function sackLength(count: number): number {
  return count === 0 ? 0 : 4 + count * SACK_BLOCK_LENGTH
}

/**
 * Writes NOP NOP SACK with the first `count` blocks of `left` and `right` at `at`, and gives its length; nothing for
 * no blocks. A duplicate that is reported (RFC 2883) is the first block.
 */
export function writeSack(
  bytes: Uint8Array,
  at: number,
  left: Int32Array,
  right: Int32Array,
  count: number,
): number {
  if (count === 0) return 0
  write32(bytes, at, 0x01010000 | (TcpOption.SACK << 8) | (2 + count * SACK_BLOCK_LENGTH))
  for (let i = 0; i < count; i++) {
    write32(bytes, at + 4 + i * SACK_BLOCK_LENGTH, left[i]!)
    write32(bytes, at + 8 + i * SACK_BLOCK_LENGTH, right[i]!)
  }
  return sackLength(count)
}
