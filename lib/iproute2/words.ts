/**
 * The words of a command as its parser walks over them, and the ways in which a word can be wrong. Keywords may
 * be cut short: a parser compares in a fixed order, and the first keyword that the word begins wins.
 */
import { Exit, Status } from './outcome.ts'

/** The word is the keyword or a beginning of it. */
export function abbreviates(word: string, keyword: string): boolean {
  return word !== '' && keyword.startsWith(word)
}

/** The word is one of the keywords, or a beginning of one. */
export function abbreviatesAny(word: string, ...keywords: readonly string[]): boolean {
  return keywords.some((keyword) => abbreviates(word, keyword))
}

export class Words {
  readonly #words: readonly string[]
  #at = 0

  constructor(words: readonly string[]) {
    this.#words = words
  }

  get done(): boolean {
    return this.#at >= this.#words.length
  }

  /** How many are left, the present one among them. */
  get left(): number {
    return this.#words.length - this.#at
  }

  /** The present word. */
  get word(): string {
    return this.#words[this.#at]!
  }

  /** The word after the present one; `''` if there is none. */
  get following(): string {
    return this.#words[this.#at + 1] ?? ''
  }

  /** Goes on to the next word, if there is one. */
  skip(): void {
    this.#at++
  }

  /** Goes on to the next word and gives it. @throws Exit if there is none */
  next(): string {
    if (this.#at + 1 >= this.#words.length) throw incomplete()
    return this.#words[++this.#at]!
  }

  /** Goes past the present word if it is this very keyword. @throws Exit if nothing follows it */
  skipKeyword(keyword: string): string {
    return this.word === keyword ? this.next() : this.word
  }
}

export function incomplete(): Exit {
  return new Exit(Status.USAGE, 'Command line is not complete. Try option "help"')
}

/** A value that cannot be read; most sentences of iproute2 end in a newline of their own. */
export function wrong(word: string, why: string, newline = true): Exit {
  return new Exit(Status.USAGE, `Error: argument "${word}" is wrong: ${why}${newline ? '\n' : ''}`)
}

/** A second value for what takes one. */
export function duplicate(keyword: string, word: string): Exit {
  return new Exit(Status.USAGE, `Error: duplicate "${keyword}": "${word}" is the second value.`)
}

/** A word that no keyword precedes, where there was one already. */
export function garbage(keyword: string, word: string): Exit {
  return new Exit(Status.USAGE, `Error: either "${keyword}" is duplicate, or "${word}" is a garbage.`)
}

export function unknownCommand(word: string, help: string): Exit {
  return new Exit(Status.USAGE, `Command "${word}" is unknown, try "ip ${help}".`)
}
