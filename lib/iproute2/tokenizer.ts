/**
 * How `ip` cuts a line into words: at white space, a word that begins with a quote goes to the next such quote.
 * A quote inside a word is an ordinary character, and there are no escapes.
 */
import { Exit } from './outcome.ts'

const SPACE = ' \t\r\n'

/** @throws Exit with status 1 for a quote that is never closed */
export function tokenize(line: string): string[] {
  const words: string[] = []
  let at = 0
  for (;;) {
    while (at < line.length && SPACE.includes(line[at]!)) at++
    if (at === line.length) return words
    const quote = line[at]!
    if (quote === "'" || quote === '"') {
      const end = line.indexOf(quote, at + 1)
      if (end < 0) throw new Exit(1, 'Unterminated quoted string')
      words.push(line.slice(at + 1, end))
      at = end + 1
      continue
    }
    const start = at
    while (at < line.length && !SPACE.includes(line[at]!)) at++
    words.push(line.slice(start, at))
  }
}

/** The commands of a batch with the number of the last physical line of each: comments go, `\` joins lines. */
export function* batchLines(text: string): Generator<{ line: string; number: number }, void, undefined> {
  const lines = text.split('\n')
  if (lines.at(-1) === '') lines.pop()
  let pending = ''
  for (const [index, physical] of lines.entries()) {
    const hash = physical.indexOf('#')
    const line = hash < 0 ? physical : physical.slice(0, hash)
    if (line.endsWith('\\') && index + 1 < lines.length) {
      pending += line.slice(0, -1)
      continue
    }
    yield { line: pending + line, number: index + 1 }
    pending = ''
  }
}
