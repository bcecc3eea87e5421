/** What a test tells the program that runs a stack (stack-program.ts), and what that answers. */
import type { ImpairOptions } from '../../../lib/index.ts'

export interface TunConfig {
  name: string
  /** The kernel's address, `10.9.0.1/24`; without it the kernel's side stays as it is, and down. */
  kernel?: string
  /** The stack's. */
  address: string
  mtu?: number
  /** What the link does to packets of the stack, and to those for it. */
  impair?: ImpairOptions
}

/** A stack as it is when it says that it is ready. */
export interface StackConfig {
  tuns: readonly TunConfig[]
  /** Addresses of the loopback device. */
  lo?: readonly string[]
  /** As `stack.routes.add` takes them. */
  routes?: readonly string[]
  /** By full name. */
  sysctl?: Readonly<Record<string, number>>
  /** UDP port whose datagrams are sent back. */
  udpEcho?: number
}

export interface MemoryReport {
  /** Bytes, after a garbage collection if the program was started with `--expose-gc`. */
  rss: number
  heapUsed: number
  external: number
  /** Bytes of packet memory. */
  reserved: number
  /** Packets in use; those that wait to be read into are among them. */
  outstanding: number
  /** How often no packet could be had. */
  exhausted: number
}

/** A packet that crossed a device, or (`dropReason`) was dropped, and what `explain` says of one that came in. */
export interface WatchedPacket {
  device: string
  direction: 'in' | 'out'
  /** Hexadecimal. */
  bytes: string
  dropReason?: string
  explained?: { verdict: string; counter: string; text: string }
}

export interface Request {
  id: number
  method: string
  args: unknown[]
}

export type Response = { result: unknown } | { error: { code: string; message: string } }
