/**
 * What a command leaves behind: text on two streams, in order, and an exit status. A command fails in one of two
 * ways. Softly: a message, a status, and a batch goes on. Or it ends the whole program ({@link Exit}).
 */
import { TunstackError } from '../errors.ts'
import { NetlinkError } from '../route/rtnetlink.ts'

/** One command's exit status and what it wrote. */
export interface IpResult {
  stdout: string
  stderr: string
  status: number
  /** What `save` wrote, which is no text. */
  bytes?: Uint8Array
}

/** Exit statuses of a command that failed without ending the program. */
export const Status = {
  OK: 0,
  /** `ip` itself refused. */
  REFUSED: 1,
  /** The kernel refused. */
  KERNEL: 2,
  /** The program ended over its arguments. */
  USAGE: 255,
} as const

/** The program ends: whatever of a batch is left is never read. */
export class Exit extends Error {
  readonly status: number

  /** @param message a line for stderr; `''` for none */
  constructor(status: number, message: string) {
    super(message)
    this.status = status
  }
}

/** Where text goes as it is written: 1 is the standard output, 2 the standard error. */
export type OutputSink = (stream: 1 | 2, text: string) => void

/** How much the C library keeps of what is written to a file or a pipe. */
const BLOCK = 4096

/** Takes what a command writes, and keeps the order across both streams. */
export class Output {
  readonly #sink: OutputSink
  #held = ''

  constructor(sink: OutputSink) {
    this.#sink = sink
  }

  /** Text that goes out at once, with all that was held back, even if it is none. */
  write(text: string): void {
    const all = this.#held + text
    this.#held = ''
    if (all !== '') this.#sink(1, all)
  }

  /** For what lists nothing without noticing: text goes out at once, if there is any. */
  writeSome(text: string): void {
    if (text !== '') this.write(text)
  }

  /** What was held back goes out. */
  flush(): void {
    this.write('')
  }

  /** Text that the program keeps until it writes again, or ends; complaints overtake it. It keeps one block. */
  hold(text: string): void {
    const all = this.#held + text
    const whole = all.length - (all.length % BLOCK)
    this.#held = all.slice(whole)
    if (whole > 0) this.#sink(1, all.slice(0, whole))
  }

  /** A line on stderr. */
  complain(line: string): void {
    this.#sink(2, `${line}\n`)
  }
}

/** What the C library says of an errno. */
const STRERROR: Readonly<Record<string, string>> = {
  EPERM: 'Operation not permitted',
  ENOENT: 'No such file or directory',
  ESRCH: 'No such process',
  ENXIO: 'No such device or address',
  EAGAIN: 'Resource temporarily unavailable',
  ENOMEM: 'Cannot allocate memory',
  EACCES: 'Permission denied',
  EBUSY: 'Device or resource busy',
  EEXIST: 'File exists',
  EXDEV: 'Invalid cross-device link',
  ENODEV: 'No such device',
  EINVAL: 'Invalid argument',
  ENOSPC: 'No space left on device',
  ERANGE: 'Numerical result out of range',
  EOPNOTSUPP: 'Operation not supported',
  EAFNOSUPPORT: 'Address family not supported by protocol',
  EADDRINUSE: 'Address already in use',
  EADDRNOTAVAIL: 'Cannot assign requested address',
  ENETDOWN: 'Network is down',
  ENETUNREACH: 'Network is unreachable',
  ENOBUFS: 'No buffer space available',
  EHOSTUNREACH: 'No route to host',
}

/** An errno in the words of the C library. */
export function strerror(code: string): string {
  return STRERROR[code] ?? code
}

/** What the kernel answered, as `ip` shows it: its own sentence if it gave one, else the errno's. */
export function answerText(error: TunstackError): string {
  const { code } = error
  const extack = error instanceof NetlinkError ? error.extack : undefined
  if (extack === undefined) return `RTNETLINK answers: ${strerror(code)}`
  return `Error: ${extack}${extack.endsWith('.') ? '' : '.'}`
}

/** Asks the kernel for something: {@link Status.OK}, or its refusal on stderr and {@link Status.KERNEL}. */
export function talk(output: Output, request: () => void): number {
  try {
    request()
    return Status.OK
  } catch (error) {
    // A driver of its own may refuse too, with an errno.
    if (!(error instanceof TunstackError) || error.errno === undefined) throw error
    output.complain(answerText(error))
    return Status.KERNEL
  }
}
