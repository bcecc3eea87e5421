/** What the demonstration prints: sections, commands with their output, and checks that pass or fail. */

export class Report {
  #checks = 0
  #section = 0
  #quiet = false
  readonly #failed: string[] = []
  readonly #colour = process.stdout.isTTY === true

  /** Begins a section. @param text what is shown, and why */
  section(title: string, text: string): void {
    console.log(`\n${this.#paint(1, `${++this.#section}. ${title}`)}\n`)
    this.#quiet = false
    console.log(text.trim().replace(/^ +/gm, ''))
  }

  /** A command and what it printed. @param where a word before the prompt: whose command it is */
  command(where: string, command: string, output: string): void {
    const quiet = output.trim() === ''
    if (!(quiet && this.#quiet)) console.log('')
    this.#quiet = quiet
    console.log(`  ${where}$ ${command}`)
    this.lines(output)
  }

  /** Text, indented. */
  lines(text: string): void {
    const trimmed = text.replace(/\n+$/, '')
    if (trimmed === '') return
    for (const line of trimmed.split('\n')) console.log(`    ${line}`.trimEnd())
  }

  /** Two texts beside each other. */
  sideBySide(left: string, right: string): void {
    const [a, b] = [left, right].map((text) => text.trimEnd().split('\n'))
    const width = Math.max(...a!.map((line) => line.length)) + 1
    for (let i = 0; i < Math.max(a!.length, b!.length); i++) {
      console.log(`    ${(a![i] ?? '').padEnd(width)}| ${b![i] ?? ''}`.trimEnd())
    }
  }

  /** @param detail what was found instead, for a check that fails */
  check(passed: boolean, text: string, detail = ''): void {
    this.#checks++
    this.#quiet = false
    if (!passed) this.#failed.push(text)
    console.log(`  ${passed ? this.#paint(32, 'PASS') : this.#paint(31, 'FAIL')}  ${text}`)
    if (!passed && detail !== '') this.lines(detail)
  }

  /** @param found printed if it differs */
  equal(found: unknown, expected: unknown, text: string): void {
    const [a, b] = [found, expected].map((value) =>
      typeof value === 'string' ? value : JSON.stringify(value),
    )
    this.check(a === b, text, `found:    ${a}\nexpected: ${b}`)
  }

  /** The last line. True if every check passed. */
  verdict(seconds: number): boolean {
    const passed = this.#checks - this.#failed.length
    const all = passed === this.#checks && this.#checks > 0
    if (!all) console.log('')
    for (const text of this.#failed) console.log(`failed: ${text}`)
    const line = `${all ? 'PASS' : 'FAIL'}: ${passed} of ${this.#checks} checks passed, in ${seconds.toFixed(1)} s`
    console.log(`\n${this.#paint(all ? 32 : 31, line)}`)
    return all
  }

  #paint(code: number, text: string): string {
    return this.#colour ? `\u001b[${code}m${text}\u001b[0m` : text
  }
}
