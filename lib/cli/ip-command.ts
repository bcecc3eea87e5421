/**
 * `tunstack ip …`: the program `ip` on a stack of its own, as it would run in a fresh network namespace without
 * IPv6 in which two TUN devices were made that no program holds.
 */
import { fstatSync, readFileSync } from 'node:fs'
import { isatty } from 'node:tty'
import { getSystemErrorMap } from 'node:util'
import { IdleTun } from '../device/idle-tun.ts'
import { runProgram } from '../iproute2/ip.ts'
import { Stack } from '../stack/stack.ts'
import { write, writeBytes } from './streams.ts'

export async function ipCommand(args: readonly string[]): Promise<number> {
  const stack = new Stack({ loopbackUp: false })
  for (const name of ['tun0', 'tun1']) stack.addDevice(new IdleTun(name), { up: false })
  try {
    return runProgram(stack, args, write, readText, {
      input: readInput,
      inputIsTerminal: isatty(0),
      inputIsFile: fstatSync(0).isFile() || isNull(0),
      outputIsTerminal: isatty(1),
      write: (bytes) => writeBytes(1, bytes),
    })
  } finally {
    await stack.close()
  }
}

function readInput(): Uint8Array {
  return readFileSync(0)
}

/** `/dev/null` and its kin can be gone back in, though there is nothing to go back to. */
function isNull(descriptor: number): boolean {
  return !isatty(descriptor) && fstatSync(descriptor).isCharacterDevice()
}

function readText(name: string): { text: string } | string {
  try {
    return { text: readFileSync(name === '-' ? 0 : name, 'utf8') }
  } catch (error) {
    // A folder can be opened, but gives no line.
    if ((error as NodeJS.ErrnoException).code === 'EISDIR') return { text: '' }
    return reason(error as NodeJS.ErrnoException)
  }
}

/** `ENOENT` as the C library words it: what Node says, but with a capital. */
function reason({ errno = 0, message }: NodeJS.ErrnoException): string {
  const text = getSystemErrorMap().get(errno)?.[1] ?? message
  return text.charAt(0).toUpperCase() + text.slice(1)
}
