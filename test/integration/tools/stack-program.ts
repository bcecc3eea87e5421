/**
 * A stack on real TUN devices, as a program of its own: `stack-program.ts '<StackConfig as JSON>'`. When it is
 * ready it takes requests from its standard input, a line of JSON each, and answers `ID JSON`. It ends when its
 * stack was closed or its input ends.
 */
import { closeSync, openSync, writeSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { openTun } from '../../../lib/device/tun/index.ts'
import {
  type Capture,
  type CaptureRecord,
  type ExplainOptions,
  impairDevice,
  type PingOptions,
  type PingResult,
  Stack,
  type UdpAddress,
  type UdpBindOptions,
  type UdpMessage,
  type UdpSendOptions,
  type UdpSocket,
} from '../../../lib/index.ts'
import type { MemoryReport, Request, Response, StackConfig, WatchedPacket } from './stack-config.ts'

const config = JSON.parse(process.argv[2]!) as StackConfig
const stack = new Stack()
for (const [name, value] of Object.entries(config.sysctl ?? {})) stack.sysctlSet(name, value)
for (const address of config.lo ?? []) stack.loopback.addAddress(address)
for (const { name, kernel, address, mtu, impair } of config.tuns) {
  const tun = await openTun({
    name,
    ...(mtu === undefined ? {} : { mtu }),
    ...(kernel === undefined ? { up: false } : { address: kernel }),
  })
  stack.addDevice(impair === undefined ? tun : impairDevice(tun, impair)).addAddress(address)
}
for (const route of config.routes ?? []) stack.routes.add(route)
if (config.udpEcho !== undefined) {
  const endpoint = stack.udp.bind({
    port: config.udpEcho,
    onMessage: ({ data, address, port }) => void endpoint.trySend(data, { address, port }),
  })
}

let file: Capture | undefined
let watch: Capture | undefined
let records: CaptureRecord[] = []
const sockets: UdpSocket[] = []
const pattern = (length: number): Uint8Array => new Uint8Array(length).map((_, i) => i * 7)
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

const methods = {
  ping: (address: string, options: PingOptions): Promise<PingResult> => stack.ping(address, options),

  counters: (): Record<string, number> => stack.mib.snapshot(),

  links: () => Object.fromEntries(stack.interfaces.map(({ name, stats }) => [name, stats])),

  /** Packets that the first TUN has received: short, for who asks often. */
  received: (): number => stack.interface(config.tuns[0]!.name).stats.rxPackets,

  sysctl: (name: string, value: number): void => void stack.sysctlSet(name, value),

  explain: (target: string, options: ExplainOptions) => stack.explain(target, options),

  /** Writes what crosses any device, and what is dropped, to a file; checksums as tcpdump sees them on a TUN with offloads. */
  capture(path: string): void {
    const descriptor = openSync(path, 'w')
    file = stack.capture({
      drops: true,
      completeChecksums: false,
      sink: (bytes) => void writeSync(descriptor, bytes),
      onEnd: () => closeSync(descriptor),
    })
  },

  endCapture(): number {
    file!.close()
    if (file!.error !== undefined) throw file!.error
    return file!.packets
  },

  /** Remembers what crosses the TUNs from now on. */
  watch(): void {
    records = []
    watch = stack.capture({
      device: config.tuns.map(({ name }) => name),
      drops: true,
      count: 10_000,
      listener: (record) => void records.push(record),
    })
  },

  watched(): WatchedPacket[] {
    watch!.close()
    if (watch!.error !== undefined) throw watch!.error
    return records.map(({ device, direction, bytes, dropReason }) => {
      const packet: WatchedPacket = { device, direction, bytes: hex(bytes) }
      if (dropReason !== undefined) packet.dropReason = dropReason
      else if (direction === 'in') {
        const { verdict, counter, text } = stack.explain(bytes, { device })
        packet.explained = { verdict, counter, text }
      }
      return packet
    })
  },

  /** A UDP socket; gives its number. */
  udpBind(options: UdpBindOptions, peer?: UdpAddress): number {
    const socket = stack.udp.bind(options)
    if (peer !== undefined) socket.connect(peer)
    return sockets.push(socket) - 1
  },

  udpJoin: (socket: number, group: string, device: string): void =>
    void sockets[socket]!.joinGroup(group, { device }),

  /** Sends so many bytes of a pattern. */
  udpSend(socket: number, bytes: number, to?: UdpAddress, options?: UdpSendOptions): void {
    sockets[socket]!.send(pattern(bytes), to, options)
  },

  /** The next datagram: its bytes in hexadecimal. */
  async udpReceive(socket: number): Promise<Omit<UdpMessage, 'data'> & { hex: string }> {
    const { data, ...rest } = await sockets[socket]!.receive({ signal: AbortSignal.timeout(5000) })
    return { ...rest, hex: hex(data) }
  },

  memory(): MemoryReport {
    globalThis.gc?.()
    const { rss, heapUsed, external } = process.memoryUsage()
    const { reserved, outstanding, exhausted } = stack.pool
    return { rss, heapUsed, external, reserved, outstanding, exhausted }
  },

  /** Gives the packets that are in use after it. */
  async close(): Promise<number> {
    await stack.close()
    input.close()
    return stack.pool.outstanding
  },
}

const input = createInterface({ input: process.stdin })
input.on('line', (line) => {
  const { id, method, args } = JSON.parse(line) as Request
  const call = methods[method as keyof typeof methods] as (...args: unknown[]) => unknown
  const answer = (response: Response): void => console.log(`${id} ${JSON.stringify(response)}`)
  Promise.resolve()
    .then(() => call(...args))
    .then(
      (result) => answer({ result: result ?? null }),
      (error: Error & { code?: string }) =>
        answer({ error: { code: error.code ?? error.name, message: error.message } }),
    )
})
input.on('close', () => void stack.close())
console.log('ready')

export type Methods = typeof methods
