/** The bytes that TCP benchmarks send, and a check of those that arrive; as in `native/tcp-load.c`. */

const PERIOD = 65521

/** Bytes of one read or write. */
export const CHUNK = 256 * 1024

const pattern = makePattern()

function makePattern(): Buffer {
  const bytes = Buffer.alloc(PERIOD + CHUNK)
  let x = 12345
  for (let i = 0; i < PERIOD; i++) {
    x = (Math.imul(x, 1664525) + 1013904223) | 0
    bytes[i] = x >>> 24
  }
  bytes.copyWithin(PERIOD, 0, PERIOD)
  for (let at = 2 * PERIOD; at < bytes.length; at += PERIOD) bytes.copyWithin(at, 0, PERIOD)
  return bytes
}

/** What is sent from `offset` of the stream on: {@link CHUNK} bytes. */
export function contentAt(offset: number): Buffer {
  const from = offset % PERIOD
  return pattern.subarray(from, from + CHUNK)
}

/** Ends the process if `bytes[0…count)`, received at `offset`, are not what was sent. */
export function checkContent(bytes: Buffer, count: number, offset: number): void {
  const from = offset % PERIOD
  if (bytes.compare(pattern, from, from + count, 0, count) === 0) return
  process.stderr.write(`wrong bytes within ${count} at ${offset}\n`)
  process.exit(1)
}
