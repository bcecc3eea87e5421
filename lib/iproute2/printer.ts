/**
 * What a command says about the things it lists, as text or, with `-j`, as JSON: each fact is given once with both
 * of its forms. The JSON is laid out as iproute2 lays it out, to the byte, on one line or with `-p` over many.
 */
import type { IpOptions } from './options.ts'

export type Plain = string | number | bigint | boolean | null

export class Printer {
  readonly json: boolean
  readonly #pretty: boolean
  #text = ''
  #depth = 0
  /** What stands before the next element: nothing at the beginning of a list, then a comma. */
  #separator = ''

  constructor({ json, pretty }: IpOptions) {
    this.json = json
    this.#pretty = pretty
  }

  /** Gives what was written since, and forgets it. */
  take(): string {
    const text = this.#text
    this.#text = ''
    return text
  }

  /** Only as text. */
  text(text: string): void {
    if (!this.json) this.#text += text
  }

  /** A fact: a member of the object that is open, or the text. */
  field(name: string, value: Plain, text: string): void {
    if (!this.json) {
      this.#text += text
      return
    }
    this.#name(name)
    this.#value(value)
  }

  /** A member that the text does not have. */
  member(name: string, value: Plain): void {
    this.field(name, value, '')
  }

  /** An element of the list that is open, or the text. */
  element(value: Plain, text: string): void {
    if (this.json) this.#value(value)
    else this.#text += text
  }

  /** Begins an object: `name` if it is a member. Only of JSON, as the following ones. */
  openObject(name?: string): void {
    this.#open('{', name)
  }

  closeObject(): void {
    this.#close('}')
  }

  openArray(name?: string): void {
    if (!this.json) return
    this.#open('[', name)
    if (this.#pretty) this.#text += ' '
  }

  closeArray(): void {
    if (!this.json) return
    if (this.#pretty && this.#separator !== '') this.#text += ' '
    this.#separator = ''
    this.#close(']')
  }

  /** The list of all that a command shows. */
  begin(): void {
    this.openArray()
  }

  end(): void {
    if (!this.json) return
    this.closeArray()
    this.#text += '\n'
    this.#separator = ''
  }

  #open(bracket: string, name: string | undefined): void {
    if (!this.json) return
    if (name !== undefined) this.#name(name)
    this.#next()
    this.#text += bracket
    this.#depth++
    this.#separator = ''
  }

  #close(bracket: string): void {
    if (!this.json) return
    this.#depth--
    if (this.#separator !== '') this.#endLine()
    this.#text += bracket
    this.#separator = ','
  }

  #name(name: string): void {
    this.#next()
    this.#endLine()
    this.#separator = ''
    this.#text += `${quote(name)}:${this.#pretty ? ' ' : ''}`
  }

  #value(value: Plain): void {
    this.#next()
    this.#text += typeof value === 'string' ? quote(value) : String(value)
  }

  #next(): void {
    this.#text += this.#separator
    this.#separator = ','
  }

  #endLine(): void {
    if (this.#pretty) this.#text += `\n${'    '.repeat(this.#depth)}`
  }
}

const ESCAPES: Readonly<Record<string, string>> = {
  '\t': '\\t',
  '\n': '\\n',
  '\r': '\\r',
  '\f': '\\f',
  '\b': '\\b',
  '\\': '\\\\',
  '"': '\\"',
}

/** Other control characters stay as they are, as they do in iproute2. */
function quote(text: string): string {
  return `"${text.replace(/[\t\n\r\f\b\\"]/g, (char) => ESCAPES[char]!)}"`
}
