/** The table at the end of a run, in Markdown, so that it can be read in a terminal and pasted into a document. */
import type { Figure } from './figure.ts'
import { type Comparison, compare, meets, type Summary, summarize } from './statistics.ts'

const HEAD = ['figure', 'unit', 'subject', 'median [min–max]', 'ratio [min–max]', 'verdict']

export function table(figures: readonly Figure[]): string {
  const lines = figures.flatMap(figureLines)
  const widths = HEAD.map((head, i) => Math.max(head.length, ...lines.map((line) => line[i]!.length)))
  const format = (cells: readonly string[]): string =>
    `| ${cells.map((cell, i) => cell.padEnd(widths[i]!)).join(' | ')} |`
  const rule = widths.map((width) => '-'.repeat(width))
  return [HEAD, rule, ...lines].map(format).join('\n')
}

function figureLines({ name, unit, samples, against }: Figure): string[][] {
  const lines: string[][] = []
  for (const [subject, values] of samples) {
    const cells = [lines.length === 0 ? name : '', lines.length === 0 ? unit : '', subject]
    const own = against.filter((each) => each.subject === subject && samples.has(each.reference))
    lines.push([...cells, spread(summarize(values)), '', ''])
    own.forEach(({ reference, target }, i) => {
      const line = i === 0 ? lines.at(-1)! : ['', '', '', '', '', '']
      if (i > 0) lines.push(line)
      const comparison = compare(values, samples.get(reference)!)
      line[4] = `${spread(comparison.ratio, 2)} of ${reference}`
      const verdict = comparison.distinct ? [] : ['no result: below the spread']
      if (target !== undefined) verdict.push(`${target.is} ${target.ratio}: ${outcome(comparison, target)}`)
      line[5] = verdict.join('; ')
    })
  }
  return lines
}

function outcome(comparison: Comparison, target: Parameters<typeof meets>[1]): string {
  return meets(comparison, target) ? 'met' : 'MISSED'
}

function spread({ median, min, max }: Summary, digits?: number): string {
  const text = (value: number): string => number(value, digits)
  return `${text(median)} [${text(min)}–${text(max)}]`
}

/** Three significant digits and more, without an exponent; thousands grouped. */
export function number(value: number, digits?: number): string {
  const decimals = digits ?? (Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2)
  return value.toLocaleString('en-US', { minimumFractionDigits: decimals, maximumFractionDigits: decimals })
}
