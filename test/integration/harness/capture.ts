/**
 * A capture on a device in a namespace: tcpdump writes a file, which can be had as packets, as tcpdump's own
 * text, or handed to tshark.
 */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Process } from './process.ts'

/** Bytes before the IP header, by LINKTYPE_ value: Ethernet, raw IP. */
const LINK_HEADER: Readonly<Record<number, number>> = { 1: 14, 101: 0 }

/** The packets of a classic pcap file, from their IP header on. A record that is only half written is left out. */
export function pcapPackets(file: Uint8Array): Uint8Array[] {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength)
  const packets: Uint8Array[] = []
  if (file.length < 24) return packets
  if (view.getUint32(0, true) !== 0xa1b2c3d4)
    throw new Error('not a little-endian pcap file with microseconds')
  const linkType = view.getUint32(20, true)
  const skip = LINK_HEADER[linkType]
  if (skip === undefined) throw new Error(`link type ${linkType} is not known here`)
  for (let at = 24; at + 16 <= file.length; ) {
    const length = view.getUint32(at + 8, true)
    if (at + 16 + length > file.length) break
    packets.push(file.subarray(at + 16 + skip, at + 16 + length))
    at += 16 + length
  }
  return packets
}

export class Capture {
  /** The pcap file; it goes when the test is over. */
  readonly file: string
  readonly #folder = mkdtempSync(join(tmpdir(), 'tunstack-capture-'))
  readonly #tcpdump: Process

  /** @internal made by `Namespace.capture` */
  constructor(device: string, filter: string, prefix: readonly string[]) {
    this.file = join(this.#folder, 'capture.pcap')
    const filters = filter === '' ? [] : [filter]
    this.#tcpdump = new Process(
      // Debian's tcpdump would otherwise become another user, who may not write there
      // With its own sizes only eight packets may wait for it, which a burst of fragments exceeds.
      [
        ...'tcpdump -n -U --immediate-mode -s 65535 -B 32768 -Z root -i'.split(' '),
        device,
        '-w',
        this.file,
        ...filters,
      ],
      { input: '' },
      prefix,
    )
  }

  async ready(): Promise<void> {
    await this.#tcpdump.waitFor(/listening on/)
  }

  /** What has been captured until now, each packet from its IP header on. */
  packets(): Uint8Array[] {
    return pcapPackets(readFileSync(this.file))
  }

  /** Waits until there are `count` packets. @param timeout ms @throws Error */
  async waitFor(count: number, timeout = 5000): Promise<Uint8Array[]> {
    for (const end = Date.now() + timeout; ; ) {
      const packets = this.packets()
      if (packets.length >= count) return packets
      if (Date.now() > end) {
        throw new Error(
          `${packets.length} packets in ${timeout} ms, not ${count}:\n${this.lines().join('\n')}`,
        )
      }
      await sleep(20)
    }
  }

  /** Ends it; what crossed the device before this call is in it. */
  async stop(): Promise<Uint8Array[]> {
    await sleep(100) // tcpdump has the packets, but may not have had its turn
    await this.#tcpdump.stop('SIGINT')
    return this.packets()
  }

  /** What tcpdump says of the packets, a line each without the time. @param options as `-v` */
  lines(...options: string[]): string[] {
    const args = ['-n', '-t', '-r', this.file, ...options]
    const text = execFileSync('tcpdump', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
    return text.split('\n').filter(Boolean)
  }

  /** Ends it and removes the file. */
  async close(): Promise<void> {
    await this.#tcpdump.stop('SIGINT')
    rmSync(this.#folder, { recursive: true, force: true })
  }
}
