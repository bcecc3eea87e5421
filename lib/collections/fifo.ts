/**
 * A queue in a ring of places: first in, first out, with nothing allocated per member, and nothing left in a place that
 * was emptied. Places double as they are needed and stay.
 */

const FIRST_PLACES = 16

export class Fifo<T extends object> {
  #places: (T | null)[] = new Array<T | null>(FIRST_PLACES).fill(null)
  #head = 0
  #length = 0

  get length(): number {
    return this.#length
  }

  push(member: T): void {
    if (this.#length === this.#places.length) this.#grow()
    this.#places[(this.#head + this.#length++) & (this.#places.length - 1)] = member
  }

  /** Takes out the first; `null`: it is empty. */
  shift(): T | null {
    if (this.#length === 0) return null
    const places = this.#places
    const member = places[this.#head]!
    places[this.#head] = null
    this.#head = (this.#head + 1) & (places.length - 1)
    this.#length--
    return member
  }

  #grow(): void {
    const before = this.#places
    const places = new Array<T | null>(before.length * 2).fill(null)
    for (let i = 0; i < before.length; i++) places[i] = before[(this.#head + i) & (before.length - 1)]!
    this.#places = places
    this.#head = 0
  }
}
