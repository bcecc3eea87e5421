/** The bytes that the transfers of these tests consist of: any number, the same in each process, with a digest. */
import { createHash } from 'node:crypto'

const PIECE = 65536

/** A generator whose period is far longer than any transfer. */
export class Bytes {
  readonly #words = new Uint32Array(PIECE / 4)
  #left: number
  #state = 0x2545f491

  constructor(count: number) {
    this.#left = count
  }

  /** The next piece; `null` at the end. It is not used again. */
  next(): Uint8Array | null {
    if (this.#left === 0) return null
    let x = this.#state
    for (let i = 0; i < this.#words.length; i++) {
      x ^= x << 13
      x ^= x >>> 17
      x ^= x << 5
      this.#words[i] = x
    }
    this.#state = x
    const count = Math.min(this.#left, PIECE)
    this.#left -= count
    return new Uint8Array(this.#words.buffer.slice(0, count))
  }
}

export function digestOf(count: number): string {
  const hash = createHash('sha256')
  const bytes = new Bytes(count)
  for (let piece = bytes.next(); piece !== null; piece = bytes.next()) hash.update(piece)
  return hash.digest('hex')
}
