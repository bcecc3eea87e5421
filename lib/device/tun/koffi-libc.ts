/**
 * The C library through `koffi`, for machines where no addon can be had: the few functions that the driver over it
 * calls, with plain numbers for addresses. Nothing here knows what a TUN is.
 */
import { createRequire } from 'node:module'
import { TunstackError } from '../../errors.ts'
import { checkPlatform } from './errors.ts'

export interface Libc {
  /** With an integer argument. */
  ioctl(fd: number, request: number, argument: number): number
  /** With a structure. */
  ioctlWith(fd: number, request: number, argument: Uint8Array): number
  readv(fd: number, parts: number, count: number): number
  writev(fd: number, parts: number, count: number): number
  /** Calls back from the event loop when `poll()`, which waits on a thread, has returned. */
  pollLater(fds: number, n: number, milliseconds: number, callback: () => void): void
  socket(family: number, type: number, protocol: number): number
  pipe(fds: Uint8Array, flags: number): number
  close(fd: number): number
  /** Microseconds; blocks the thread. */
  sleep(microseconds: number): number
  /** Of the last call that failed. */
  errno(): number
  /** Where the bytes lie; 0 if they were transferred away. They must not lie on the JavaScript heap. */
  address(bytes: Uint8Array | ArrayBuffer): number
}

interface KoffiFunction {
  (...words: unknown[]): number
  async(...words: unknown[]): void
}

/** What is used of `koffi`; the package itself is optional, and so are its types. */
interface Koffi {
  load(path: null): { func(name: string, result: string, parameters: string[]): KoffiFunction }
  errno(): number
  address(bytes: Uint8Array | ArrayBuffer): bigint
}

/** Where structures and ioctl numbers are as the driver has them: 64 bits, little-endian, the generic `_IOC`. */
const ARCHITECTURES = ['x64', 'arm64', 'riscv64', 'loong64']

/** @throws TunstackError `ERR_TUN_NO_KOFFI`, `ERR_TUN_UNSUPPORTED_PLATFORM` */
export function loadLibc(): Libc {
  checkPlatform()
  if (!ARCHITECTURES.includes(process.arch)) {
    throw new TunstackError(
      'ERR_TUN_NO_KOFFI',
      `the TUN driver over koffi runs on ${ARCHITECTURES.join(', ')}; this is ${process.arch}`,
      { value: process.arch },
    )
  }
  let koffi: Koffi
  try {
    koffi = createRequire(import.meta.url)('koffi') as Koffi
  } catch (cause) {
    throw new TunstackError(
      'ERR_TUN_NO_KOFFI',
      "koffi is not there: 'npm install koffi' (it is prebuilt and needs no compiler)",
      { value: 'koffi', cause },
    )
  }
  const libc = koffi.load(null)
  const poll = libc.func('poll', 'int', ['uintptr_t', 'ulong', 'int'])
  return {
    ioctl: libc.func('ioctl', 'int', ['int', 'ulong', 'ulong']),
    ioctlWith: libc.func('ioctl', 'int', ['int', 'ulong', 'void *']),
    readv: libc.func('readv', 'long', ['int', 'uintptr_t', 'int']),
    writev: libc.func('writev', 'long', ['int', 'uintptr_t', 'int']),
    pollLater: (fds, n, milliseconds, callback) => poll.async(fds, n, milliseconds, callback),
    socket: libc.func('socket', 'int', ['int', 'int', 'int']),
    pipe: libc.func('pipe2', 'int', ['void *', 'int']),
    close: libc.func('close', 'int', ['int']),
    sleep: libc.func('usleep', 'int', ['uint']),
    errno: () => koffi.errno(),
    address: (bytes) => Number(koffi.address(bytes)),
  }
}
