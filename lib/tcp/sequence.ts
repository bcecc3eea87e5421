/**
 * Arithmetic on sequence numbers (RFC 9293 §3.4). They are signed 32-bit integers that wrap around; which of two
 * comes first is the sign of their difference, as long as they lie less than 2³¹ apart. Timestamps (RFC 7323 §4.3)
 * compare in the same way.
 */

export function seqLt(a: number, b: number): boolean {
  return ((a - b) | 0) < 0
}

export function seqLe(a: number, b: number): boolean {
  return ((a - b) | 0) <= 0
}

export function seqGt(a: number, b: number): boolean {
  return ((a - b) | 0) > 0
}

export function seqGe(a: number, b: number): boolean {
  return ((a - b) | 0) >= 0
}

/** The later of the two. */
export function seqMax(a: number, b: number): number {
  return ((a - b) | 0) >= 0 ? a : b
}

/** The earlier of the two. */
export function seqMin(a: number, b: number): number {
  return ((a - b) | 0) <= 0 ? a : b
}

/** Whether `seq` lies in [left, left + size); `size` is below 2³². */
export function inWindow(seq: number, left: number, size: number): boolean {
  return (seq - left) >>> 0 < size
}
