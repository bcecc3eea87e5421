/** The kernel and the stack as the same router, to be given the same super-segments. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { type LinkFeatures, LinkFlag, NO_FEATURES } from '../../../lib/device/link-device.ts'
import { SoftwareDevice } from '../../../lib/device/software-device.ts'
import { Stack } from '../../../lib/index.ts'
import type { Burst } from '../../../lib/packet/burst.ts'
import { Checksum, Gso } from '../../../lib/packet/packet.ts'
import { seededRandom } from '../../../lib/random/seeded.ts'
import { VirtualClock } from '../../../lib/time/virtual-clock.ts'
import { isCompared, moved } from '../oracle/scenario.ts'
import {
  type Frame,
  NEEDS_CSUM,
  type RouterResponse,
  type RouterSetup,
  TunOffload,
  VnetGso,
  type VnetHeader,
} from './router-protocol.ts'

const CHILD = fileURLToPath(new URL('./kernel-router.ts', import.meta.url))

export class KernelRouter {
  readonly #child: ChildProcess

  private constructor(child: ChildProcess) {
    this.#child = child
  }

  static async start(setup: RouterSetup): Promise<KernelRouter> {
    const program = [process.execPath, '--import', 'tsx', CHILD, JSON.stringify(setup)]
    const child = spawn('unshare', ['--net', '--mount', 'setpriv', '--pdeathsig', 'KILL', ...program], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      serialization: 'advanced',
    })
    const router = new KernelRouter(child)
    await router.#message()
    return router
  }

  async send(frames: Frame[]): Promise<RouterResponse> {
    this.#child.send({ frames })
    return (await this.#message()) as RouterResponse
  }

  async stop(): Promise<void> {
    if (!this.#child.connected) return
    const ended = once(this.#child, 'exit')
    this.#child.disconnect()
    await ended
  }

  async #message(): Promise<unknown> {
    const abort = new AbortController()
    const died = once(this.#child, 'exit', { signal: abort.signal }).then(([status]) => {
      throw new Error(`the kernel's router ended with ${status}`)
    })
    try {
      const [message] = await Promise.race([once(this.#child, 'message', { signal: abort.signal }), died])
      return message
    } finally {
      died.catch(() => {})
      abort.abort()
    }
  }
}

/** A device whose wire is a list of frames, described as a `virtio_net_hdr` would. */
class FrameLink extends SoftwareDevice {
  readonly sent: Frame[] = []
  readonly #vnet: boolean

  constructor(name: string, mtu: number, features: LinkFeatures, vnet: boolean) {
    super({
      name,
      type: 'none',
      flags: LinkFlag.POINTOPOINT | LinkFlag.NOARP | LinkFlag.MULTICAST,
      mtu,
      minMtu: 68,
      maxMtu: 65535,
      features,
      qdisc: 'pfifo_fast',
      receiveQueue: 10_000,
    })
    this.#vnet = vnet
  }

  override transmit(burst: Burst): number {
    for (let i = 0; i < burst.length; i++) {
      const packet = burst.packets[i]!
      const partial = packet.checksum === Checksum.PARTIAL
      const vnet: VnetHeader = {
        flags: partial ? NEEDS_CSUM : 0,
        gsoType: packet.gsoSize === 0 ? 0 : packet.gsoType === Gso.UDP_L4 ? VnetGso.UDP_L4 : VnetGso.TCPV4,
        headerLength: 0, // a hint: not compared
        gsoSize: packet.gsoSize,
        checksumStart: partial ? packet.checksumStart - packet.start : 0,
        checksumOffset: partial ? packet.checksumOffset : 0,
      }
      if (packet.gsoEcn) vnet.gsoType |= VnetGso.ECN
      this.sent.push({ vnet: this.#vnet ? vnet : null, bytes: packet.toUint8Array() })
      packet.free()
    }
    return burst.length
  }

  inject({ vnet, bytes }: Frame, split: number): void {
    const { pool } = this.host!
    // Part of it as a body, as if an application had it.
    const packet = pool.from(bytes.subarray(0, bytes.length - split))
    if (packet === null) throw new Error('no room for a packet')
    if (split > 0) packet.body = bytes.slice(bytes.length - split)
    const gso = vnet === null ? 0 : vnet.gsoType & ~VnetGso.ECN
    if (vnet !== null && (vnet.flags & NEEDS_CSUM) !== 0) {
      packet.checksum = Checksum.PARTIAL
      packet.checksumStart = packet.start + vnet.checksumStart
      packet.checksumOffset = vnet.checksumOffset
    }
    if (vnet !== null && gso !== 0) {
      packet.gsoType = gso === VnetGso.TCPV4 ? Gso.TCPV4 : Gso.UDP_L4
      packet.gsoSize = vnet.gsoSize
      packet.gsoEcn = (vnet.gsoType & VnetGso.ECN) !== 0
      // `gsoSegments` stays 1: the kernel's TUN does not count the segments of what is written to it either.
    }
    if (!this.received.push(packet)) throw new Error('no room for a packet')
    this.host!.schedule()
  }
}

export class StackRouter {
  readonly stack: Stack
  readonly #clock = new VirtualClock()
  readonly #in: FrameLink
  readonly #out: FrameLink
  #before: Record<string, number>

  constructor({ mtu, offload }: RouterSetup) {
    this.#clock.advance(1000e9)
    this.stack = new Stack({ clock: this.#clock, random: seededRandom(1) })
    const { CSUM, TSO4, TSO_ECN, USO4 } = TunOffload
    const has = (bit: number): boolean => offload > 0 && (offload & bit) !== 0
    this.#in = new FrameLink('in0', 1500, NO_FEATURES, true)
    const features: LinkFeatures = {
      checksum: has(CSUM),
      tso: has(TSO4),
      tsoEcn: has(TSO_ECN),
      uso: has(USO4),
      gather: false,
      gsoMaxSize: 65535,
      receiveChecksumGood: false,
    }
    this.#out = new FrameLink('out0', mtu, features, offload >= 0)
    const { stack } = this
    for (const [name, value] of Object.entries({
      ip_forward: 1,
      icmp_ratelimit: 0,
      icmp_msgs_per_sec: 100_000,
      icmp_msgs_burst: 100_000,
      'conf.all.rp_filter': 0,
    })) {
      stack.sysctlSet(`net.ipv4.${name}`, value)
    }
    stack.addDevice(this.#in).addAddress('10.1.0.1/24')
    const out = stack.addDevice(this.#out).addAddress('10.2.0.1/24')
    out.device.txQueueLength = 100_000
    this.#before = this.#counters()
  }

  /** @param split bytes at the end of each packet that lie in a body */
  send(frames: Frame[], split = 0): Omit<RouterResponse, 'refused'> {
    for (const frame of frames) {
      this.#in.inject(frame, Math.min(split, Math.max(0, frame.bytes.length - 80)))
      this.#clock.advance(0)
    }
    this.#clock.advance(5e6)
    const after = this.#counters()
    const counters = moved(this.#before, after)
    this.#before = after
    return {
      out: this.#out.sent.splice(0),
      back: this.#in.sent.splice(0),
      counters,
      dropped: this.#out.stats.get('txDropped'),
    }
  }

  /** All of them as one burst. */
  sendBurst(frames: Frame[]): Omit<RouterResponse, 'refused'> {
    for (const frame of frames) this.#in.inject(frame, 0)
    return this.send([])
  }

  async stop(): Promise<void> {
    await this.stack.close()
    if (this.stack.pool.outstanding !== 0) throw new Error(`${this.stack.pool.outstanding} packets leaked`)
  }

  #counters(): Record<string, number> {
    return Object.fromEntries(this.stack.mib.nstat().filter(([name]) => isCompared(name)))
  }
}
