/** The programs of the rig are told what to do, and answer, in lines of JSON on their standard input and output. */
import { createInterface } from 'node:readline'

/** Calls `handle` for each line of standard input, and ends the process with what goes wrong in it. */
export function onCommand<T>(handle: (command: T) => Promise<void> | void): void {
  createInterface({ input: process.stdin }).on('line', (line) => {
    void (async () => handle(JSON.parse(line) as T))().catch((error: unknown) => {
      console.error(error)
      process.exit(1)
    })
  })
}

export function answer(value: object): void {
  process.stdout.write(`${JSON.stringify(value)}\n`)
}
