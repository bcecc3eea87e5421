/** A device that is the wire: a test pushes raw packets in and takes out what the stack sent. */
import {
  BURST_SIZE,
  Burst,
  type LinkDevice,
  LinkFlag,
  type LinkHost,
  LinkStat,
  LinkStats,
  NO_FEATURES,
  type Packet,
} from '../../lib/index.ts'
import type { Bytes } from './packets.ts'

export class Wire implements LinkDevice {
  readonly name: string
  readonly type = 'none'
  readonly flags = LinkFlag.POINTOPOINT | LinkFlag.NOARP | LinkFlag.MULTICAST
  readonly minMtu = 68
  readonly maxMtu = 65535
  readonly features = NO_FEATURES
  readonly txQueueLength = 1000
  readonly qdisc = 'pfifo_fast'
  readonly carrier = true
  gone = false
  readonly stats = new LinkStats()
  mtu: number
  /** What the stack has sent and nobody took yet. */
  readonly sent: Bytes[] = []
  /** The wire takes nothing while it is set; `release()` ends that. */
  blocked = false
  /** Called for each packet that is sent, beside `sent`. */
  onSend: ((packet: Bytes) => void) | null = null
  /** Bytes of room that a received packet's slab has at least: as of a driver that reads into large buffers. */
  room = 0
  /** How many bursts at most 64 packets each the stack sent. */
  bursts = 0
  host!: LinkHost
  readonly #burst = new Burst()

  constructor(name: string, mtu = 1500) {
    this.name = name
    this.mtu = mtu
  }

  attach(host: LinkHost): void {
    this.host = host
  }

  setUp(): void {}

  setMtu(mtu: number): void {
    this.mtu = mtu
    this.host.changed()
  }

  transmit(burst: Burst): number {
    if (this.blocked) return 0
    this.bursts++
    for (let i = 0; i < burst.length; i++) {
      const packet = burst.packets[i]!
      const bytes = packet.toUint8Array()
      this.stats.sent(1, bytes.length)
      packet.free()
      this.sent.push(bytes)
      this.onSend?.(bytes)
    }
    return burst.length
  }

  release(): void {
    this.blocked = false
    this.host.wake()
  }

  async close(): Promise<void> {
    this.gone = true
  }

  /** The stack receives these, in bursts as large as they may be. Lost where no memory is left. */
  push(...packets: Uint8Array[]): void {
    const burst = this.#burst
    for (const bytes of packets) {
      const packet: Packet | null = this.host.pool.allocate(Math.max(bytes.length, this.room))
      if (packet === null) {
        this.stats.increment(LinkStat.rxDropped)
        continue
      }
      packet.bytes.set(bytes, packet.put(bytes.length))
      this.stats.received(1, bytes.length)
      burst.push(packet)
      if (burst.length === BURST_SIZE) this.host.receive(burst)
    }
    if (burst.length > 0) this.host.receive(burst)
  }

  /** What was sent since the last call. */
  take(): Bytes[] {
    return this.sent.splice(0)
  }
}
