/**
 * The standard streams, written to at once and in order, also where both are the same pipe: `process.stdout` would
 * keep some of it back.
 */
import { writeSync } from 'node:fs'

/** How long to wait for a full pipe before the next try, in ms. */
const PAUSE = 2
const never = new Int32Array(new SharedArrayBuffer(4))
const encoder = new TextEncoder()

/** Writes all of the text. Ends the process, as SIGPIPE would, if nobody reads it any more. */
export function write(stream: 1 | 2, text: string): void {
  writeBytes(stream, encoder.encode(text))
}

export function writeBytes(stream: 1 | 2, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length; ) {
    try {
      done += writeSync(stream, bytes, done)
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code === 'EPIPE') process.exit(141)
      if (code !== 'EAGAIN') throw error
      Atomics.wait(never, 0, 0, PAUSE)
    }
  }
}
