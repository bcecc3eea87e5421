/** What the scenarios share: a host for a raw TUN device, packets built by hand, and the `ip` command. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import type { TunDevice, TunOptions } from '../../../lib/device/tun/index.ts'
import * as entry from '../../../lib/device/tun/index.ts'
import { Burst } from '../../../lib/packet/burst.ts'
import type { Packet } from '../../../lib/packet/packet.ts'
import { PacketPool } from '../../../lib/packet/packet-pool.ts'
import { systemClock } from '../../../lib/time/system-clock.ts'
import { checksum } from '../../../lib/wire/checksum.ts'

/** The kernel's side, and ours. */
export const KERNEL = '10.9.0.1'
export const STACK = '10.9.0.2'

/** What the scenario is run with, in its process and its workers. */
export const DRIVER = (process.env['TUNSTACK_TEST_DRIVER'] ?? 'addon') as 'addon' | 'koffi'
const offload = process.env['TUNSTACK_TEST_OFFLOAD'] !== 'off'

export function openTunSync(options: TunOptions = {}): TunDevice {
  return entry.openTunSync({ driver: DRIVER, offload, ...options })
}

export async function openTun(options: TunOptions = {}): Promise<TunDevice> {
  return openTunSync(options)
}

export function ip(...words: string[]): string {
  return execFileSync('ip', words, { encoding: 'utf8' })
}

export const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

/** Waits, at most 5 s, until it holds. */
export async function until(condition: () => boolean, what: string): Promise<void> {
  for (let i = 0; i < 1000; i++) {
    if (condition()) return
    await sleep(5)
  }
  throw new Error(`waited in vain until ${what}`)
}

export interface Bench {
  readonly pool: PacketPool
  /** Calls of `changed()`. */
  readonly changes: () => number
  /** Bursts received. */
  readonly bursts: () => number
}

/** Attaches the device to a host that hands each packet to `onPacket` (which owns it) and brings it up. */
export function attach(tun: TunDevice, onPacket: (packet: Packet) => void, pool = new PacketPool()): Bench {
  let changes = 0
  let bursts = 0
  tun.attach({
    pool,
    clock: systemClock(),
    receive(burst) {
      bursts++
      for (let i = 0; i < burst.length; i++) onPacket(burst.packets[i]!)
      burst.clear()
    },
    schedule: () => {},
    wake: () => {},
    changed: () => changes++,
  })
  tun.setUp(true)
  return { pool, changes: () => changes, bursts: () => bursts }
}

const one = new Burst()

export function send(tun: TunDevice, packet: Packet): void {
  one.push(packet)
  tun.transmit(one)
  one.clear()
}

/** Answers echo requests; frees everything else. */
export function echo(tun: TunDevice): (packet: Packet) => void {
  return (packet) => {
    const { bytes, start } = packet
    if (!isEchoRequest(packet)) {
      packet.free()
      return
    }
    swapAddresses(packet)
    bytes[start + 20] = 0
    bytes[start + 22] = bytes[start + 23] = 0
    const check = checksum(bytes, start + 20, packet.end)
    bytes[start + 22] = check >>> 8
    bytes[start + 23] = check & 255
    send(tun, packet)
  }
}

/** Sends UDP back where it came from; frees everything else. */
export function udpEcho(tun: TunDevice): (packet: Packet) => void {
  return (packet) => {
    if (!isUdp(packet)) {
      packet.free()
      return
    }
    swapAddresses(packet)
    // Both ports are the same in these tests. No checksum.
    packet.bytes[packet.start + 26] = packet.bytes[packet.start + 27] = 0
    send(tun, packet)
  }
}

function isEchoRequest({ bytes, start }: Packet): boolean {
  return bytes[start]! === 0x45 && bytes[start + 9] === 1 && bytes[start + 20] === 8
}

export function isUdp({ bytes, start }: Packet): boolean {
  return bytes[start]! === 0x45 && bytes[start + 9] === 17
}

function swapAddresses({ bytes, start }: Packet): void {
  for (let i = start + 12; i < start + 16; i++) {
    const byte = bytes[i]!
    bytes[i] = bytes[i + 4]!
    bytes[i + 4] = byte
  }
}

/** An IPv4 UDP packet from the stack's side to the kernel's, ports both `port`, without UDP checksum. */
export function udpPacket(port: number, payload: Uint8Array): Uint8Array {
  const packet = new Uint8Array(28 + payload.length)
  const view = new DataView(packet.buffer)
  packet[0] = 0x45
  view.setUint16(2, packet.length)
  packet[8] = 64
  packet[9] = 17
  packet.set(STACK.split('.').map(Number), 12)
  packet.set(KERNEL.split('.').map(Number), 16)
  view.setUint16(10, checksum(packet, 0, 20))
  view.setUint16(20, port)
  view.setUint16(22, port)
  view.setUint16(24, 8 + payload.length)
  packet.set(payload, 28)
  return packet
}

/** A UDP socket of the kernel on its side of the link. */
export async function kernelSocket(port: number): Promise<Socket> {
  const socket = createSocket('udp4')
  socket.bind(port, KERNEL)
  await once(socket, 'listening')
  return socket
}

/**
 * Runs the kernel's `ping` and returns how many answers came, `count` at most. Without a time of its own to wait
 * (`-W`), it is left up to 20 s: by itself it leaves after two round-trip times, which on a busy machine is sooner
 * than the last answer.
 */
export async function pingAddress(address: string, count: number, ...options: string[]): Promise<number> {
  const patience = options.includes('-W') ? [] : ['-w', '20']
  const words = ['-n', '-q', '-c', String(count), ...patience, ...options, address]
  const child = spawn('ping', words, { stdio: ['ignore', 'pipe', 'inherit'] })
  let output = ''
  child.stdout.on('data', (text) => (output += text))
  await once(child, 'close')
  const match = /(\d+) received/.exec(output)
  if (match === null) throw new Error(`ping said: ${output}`)
  return Math.min(count, Number(match[1]))
}

/** The same, to the stack's side of the usual link. */
export function ping(count: number, ...options: string[]): Promise<number> {
  return pingAddress(STACK, count, ...options)
}

/** Floods the stack's side for as long as it is not killed, 60 s at most. */
export function flood(): ChildProcess {
  return spawn('ping', ['-n', '-q', '-f', '-l', '32', '-w', '60', STACK], { stdio: 'ignore' })
}
