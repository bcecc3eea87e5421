/** What the example programs have in common as programs: durations, numbers, how they end and how they fail. */

/** `5s`, `500ms`, `2m`, or seconds without a unit, in milliseconds. @throws Error */
export function parseDuration(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m)?$/.exec(text)
  const milliseconds = match === null ? 0 : Number(match[1]) * { ms: 1, s: 1000, m: 60_000 }[match[2] ?? 's']!
  if (milliseconds <= 0 || milliseconds > 0x7fffffff) {
    throw new Error(`--for takes a time such as 5s, 500ms or 2m; got '${text}'`)
  }
  return milliseconds
}

/** An option's whole number; absent if the option is. @throws Error */
export function parseInteger(option: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  if (!/^\d{1,9}$/.test(text)) throw new Error(`--${option} takes a whole number; got '${text}'`)
  return Number(text)
}

/** Settles at SIGINT, SIGTERM, the end of a pipe that standard output goes into, or after `duration` ms. */
export function untilEnd(duration: number | undefined): Promise<string> {
  return new Promise((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => resolve(signal))
    process.stdout.on('error', () => resolve('end of output'))
    // An open device keeps the process alive until then; where it failed, nothing should.
    if (duration !== undefined) setTimeout(() => resolve('end of time'), duration).unref()
  })
}

/** Runs a program; an error becomes one line on standard error, with its code, and exit status 1. */
export async function runProgram(program: () => Promise<void>): Promise<void> {
  try {
    await program()
    process.exitCode = 0
  } catch (error) {
    const { code, message } = error as Error & { code?: string }
    console.error(code === undefined || message.includes(code) ? message : `${code}: ${message}`)
    process.exitCode = 1
  }
}
