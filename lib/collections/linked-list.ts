/**
 * A set in the order in which its members came, each of which holds its own links: adding and removing cost the same
 * however many there are, and allocate nothing. JavaScript's `Set` and `Map` do as well until members come and go all
 * the time. Then each new table hangs on the one before, and once one of them has grown old, everything that was in any
 * later one lives until the next full collection (docs/performance.md has what that cost).
 */

/** What can be a member of one list. */
export interface Linked<T> {
  /** The list's. */
  next: T | null
  previous: T | null
}

export class LinkedList<T extends Linked<T>> implements Iterable<T> {
  #first: T | null = null
  #last: T | null = null
  #length = 0

  get length(): number {
    return this.#length
  }

  /** The one that has been in it for longest. */
  get first(): T | null {
    return this.#first
  }

  /** @param member of this list or of none */
  has(member: T): boolean {
    return member.previous !== null || this.#first === member
  }

  /** Puts behind all others what is in no list. */
  push(member: T): void {
    member.next = null
    member.previous = this.#last
    if (this.#last === null) this.#first = member
    else this.#last.next = member
    this.#last = member
    this.#length++
  }

  /** @param member of this list or of none @returns whether it was in it */
  remove(member: T): boolean {
    if (!this.has(member)) return false
    const { next, previous } = member
    if (previous === null) this.#first = next
    else previous.next = next
    if (next === null) this.#last = previous
    else next.previous = previous
    member.next = member.previous = null
    this.#length--
    return true
  }

  /** Whoever iterates may remove the member at hand, and no other. */
  *[Symbol.iterator](): Generator<T, void, undefined> {
    for (let member = this.#first; member !== null; ) {
      const { next } = member
      yield member
      member = next
    }
  }
}
