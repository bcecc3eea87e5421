/**
 * Errors for people. Every wrong call throws a {@link TunstackError}: a stable `code`, the value that was
 * wrong, and what to do about it. Where Linux has an errno for the case, the code is that errno's name and
 * `errno` is its (negative) number, as in Node. Bad packets never throw: they are counted.
 */

/** Linux errno numbers that the stack answers with. */
export const Errno = {
  EPERM: 1,
  ENOENT: 2,
  ESRCH: 3,
  EIO: 5,
  ENXIO: 6,
  EBADF: 9,
  EAGAIN: 11,
  ENOMEM: 12,
  EACCES: 13,
  EBUSY: 16,
  EEXIST: 17,
  EXDEV: 18,
  ENODEV: 19,
  EINVAL: 22,
  ENOSPC: 28,
  ERANGE: 34,
  EDESTADDRREQ: 89,
  ENOPROTOOPT: 92,
  EMSGSIZE: 90,
  EPROTONOSUPPORT: 93,
  EOPNOTSUPP: 95,
  EAFNOSUPPORT: 97,
  EADDRINUSE: 98,
  EADDRNOTAVAIL: 99,
  ENETDOWN: 100,
  ENETUNREACH: 101,
  ECONNABORTED: 103,
  ECONNRESET: 104,
  ENOBUFS: 105,
  EISCONN: 106,
  ENOTCONN: 107,
  ECONNREFUSED: 111,
  EHOSTDOWN: 112,
  EHOSTUNREACH: 113,
  ENONET: 64,
  EPROTO: 71,
  EBADFD: 77,
  ECANCELED: 125,
  EPIPE: 32,
  ETIMEDOUT: 110,
} as const

export type ErrnoName = keyof typeof Errno

const nameOf = new Map<number, ErrnoName>(Object.entries(Errno).map(([name, n]) => [n, name as ErrnoName]))

/** `errnoName(101)` is `'ENETUNREACH'`; a number the stack does not know gives `'E<number>'`. */
export function errnoName(errno: number): string {
  return nameOf.get(Math.abs(errno)) ?? `E${Math.abs(errno)}`
}

export interface ErrorDetails {
  /** The value that was wrong, as the caller gave it. */
  value?: unknown
  /** The call that failed: `'sendto'`, `'TUNSETIFF'`, `'route add'`. */
  syscall?: string
  /** The (positive or negative) Linux errno behind a code that is not itself one. */
  errno?: number
  cause?: unknown
}

/** An error that a caller can act on. `code` never changes between versions; `message` may. */
export class TunstackError extends Error {
  readonly code: string
  /** Negative Linux errno, where the code is one or the system gave one. */
  readonly errno: number | undefined
  readonly value: unknown
  readonly syscall: string | undefined

  constructor(code: string, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause })
    this.name = 'TunstackError'
    this.code = code
    const errno = details.errno ?? Errno[code as ErrnoName]
    this.errno = errno === undefined ? undefined : -Math.abs(errno)
    this.value = details.value
    this.syscall = details.syscall
  }
}

/** `ERR_INVALID_ARG_VALUE`: a program passed something that cannot mean anything here. */
export function invalidArgument(what: string, value: unknown, expected: string): TunstackError {
  return new TunstackError('ERR_INVALID_ARG_VALUE', `${what} must be ${expected}; got ${show(value)}`, {
    value,
  })
}

function show(value: unknown): string {
  if (typeof value === 'string') return `'${value}'`
  // Not every object has a text, and bytes have a long one.
  return typeof value === 'object' && value !== null ? Object.prototype.toString.call(value) : String(value)
}
