/**
 * What a table holds for a prefix, in one number, so that a million routes cost no object each: the number of an
 * {@link AliasKind} (which all routes of the same info and TOS share), or, negative, the first cell of a list of
 * such numbers, where a prefix has several aliases.
 */
import { AliasKind, type FibInfo } from './fib-types.ts'

/** The kinds of aliases that the tables of one stack hold, by number from 1 on. */
export class AliasKinds {
  readonly #byId: (AliasKind | null)[] = [null]
  readonly #free: number[] = []

  at(id: number): AliasKind {
    return this.#byId[id]!
  }

  /** The kind of a route with this info and TOS; counts one more. */
  obtain(info: FibInfo, tos: number): AliasKind {
    for (let kind = info.kinds; kind !== null; kind = kind.nextOfInfo) {
      if (kind.tos === tos) {
        kind.references++
        return kind
      }
    }
    const kind = new AliasKind(this.#free.pop() ?? this.#byId.length, info, tos)
    kind.nextOfInfo = info.kinds
    info.kinds = kind
    this.#byId[kind.id] = kind
    return kind
  }

  /** A route of this kind is gone. */
  release(kind: AliasKind): void {
    if (--kind.references > 0) return
    this.#byId[kind.id] = null
    this.#free.push(kind.id)
    const { info } = kind
    if (info.kinds === kind) info.kinds = kind.nextOfInfo
    else {
      let before = info.kinds!
      while (before.nextOfInfo !== kind) before = before.nextOfInfo!
      before.nextOfInfo = kind.nextOfInfo
    }
  }
}

const NO_CELLS = new Int32Array(0)

/** Lists of numbers, in cells of one array: number, next cell. A list is known by its first cell, which is never 0. */
export class AliasLists {
  #cells = NO_CELLS
  #used = 1
  #free = 0
  /** Cells that are in lists. */
  #live = 0

  /** The number in a cell. */
  kind(cell: number): number {
    return this.#cells[2 * cell]!
  }

  /** The next cell, 0 at the end. */
  next(cell: number): number {
    return this.#cells[2 * cell + 1]!
  }

  /** A new list of these kinds, of which there is at least one. */
  create(kinds: readonly AliasKind[]): number {
    let first = 0
    for (let i = kinds.length - 1; i >= 0; i--) {
      const cell = this.#allocate()
      this.#cells[2 * cell] = kinds[i]!.id
      this.#cells[2 * cell + 1] = first
      first = cell
    }
    return first
  }

  release(first: number): void {
    for (let cell = first; cell !== 0; ) {
      const next = this.next(cell)
      this.#cells[2 * cell + 1] = this.#free
      this.#free = cell
      this.#live--
      cell = next
    }
    if (this.#live === 0) {
      this.#cells = NO_CELLS
      this.#used = 1
      this.#free = 0
    }
  }

  get bytes(): number {
    return this.#cells.byteLength
  }

  #allocate(): number {
    this.#live++
    const cell = this.#free
    if (cell !== 0) {
      this.#free = this.next(cell)
      return cell
    }
    if (2 * this.#used >= this.#cells.length) {
      const cells = new Int32Array(Math.max(16, 2 * this.#cells.length))
      cells.set(this.#cells)
      this.#cells = cells
    }
    return this.#used++
  }
}
