/** The stack as the other side of the comparison: in-memory devices and a clock that stands still between steps. */
import { formatIpv4, parseIpv4 } from '../../../lib/address/ipv4-address.ts'
import { LinkFlag, NO_FEATURES } from '../../../lib/device/link-device.ts'
import { SoftwareDevice } from '../../../lib/device/software-device.ts'
import { ip, Stack } from '../../../lib/index.ts'
import type { Burst } from '../../../lib/packet/burst.ts'
import { seededRandom } from '../../../lib/random/seeded.ts'
import { Flow4 } from '../../../lib/route/flow.ts'
import { VirtualClock } from '../../../lib/time/virtual-clock.ts'
import type { WirePacket } from './injector-protocol.ts'
import { BASE_SYSCTL, isCompared, moved, type Outcome, type Setup, type Step } from './scenario.ts'

/** A device whose wire is a list. */
class MemoryLink extends SoftwareDevice {
  readonly #sent: WirePacket[]

  constructor(name: string, mtu: number, sent: WirePacket[]) {
    super({
      name,
      type: 'none',
      flags: LinkFlag.POINTOPOINT | LinkFlag.NOARP | LinkFlag.MULTICAST,
      mtu,
      minMtu: 68,
      maxMtu: 65535,
      features: NO_FEATURES,
      qdisc: 'pfifo_fast',
      receiveQueue: 10_000,
    })
    this.#sent = sent
  }

  override transmit(burst: Burst): number {
    for (let i = 0; i < burst.length; i++) {
      const packet = burst.packets[i]!
      this.#sent.push({ device: this.name, bytes: packet.toUint8Array() })
      this.stats.sent(1, packet.length)
      packet.free()
    }
    return burst.length
  }

  inject(bytes: Uint8Array): void {
    const packet = this.host!.pool.from(bytes)
    if (packet === null || !this.received.push(packet)) throw new Error('no room for a packet')
    this.stats.received(1, bytes.length)
    this.host!.schedule()
  }
}

function configureByCommand(stack: Stack, command: string): void {
  const { status, stderr } = ip(stack, command)
  if (status !== 0) throw new Error(`${command}: ${stderr}`)
}

export class StackSide {
  #clock!: VirtualClock
  #stack: Stack | null = null
  #links = new Map<string, MemoryLink>()
  #sent: WirePacket[] = []
  #counters: Record<string, number> = {}
  #linkStats: Record<string, number> = {}
  #drops: Record<string, number> = {}

  async stop(): Promise<void> {
    await this.#stack?.close()
    this.#stack = null
  }

  async configure(setup: Setup): Promise<void> {
    await this.stop()
    this.#clock = new VirtualClock(BigInt(Date.now() - 1_000_000) * 1_000_000n)
    // Not 0: in the kernel, too, the machine has been up for a while.
    this.#clock.advance(1000e9)
    const stack = new Stack({ clock: this.#clock, random: seededRandom(1) })
    this.#stack = stack
    this.#sent = []
    this.#links = new Map()
    const set = (settings: Record<string, number>): void => {
      for (const [name, value] of Object.entries(settings)) stack.sysctlSet(`net.ipv4.${name}`, value)
    }
    set(BASE_SYSCTL)
    for (const [name, addresses] of Object.entries(setup.addresses)) {
      if (name !== 'lo') {
        const link = new MemoryLink(name, setup.mtu?.[name] ?? 1500, this.#sent)
        this.#links.set(name, link)
        stack.addDevice(link, { up: false })
      }
      for (const address of addresses) stack.interface(name).addAddress(address)
    }
    if (setup.mtu?.['lo'] !== undefined) stack.loopback.setMtu(setup.mtu['lo'])
    for (const name of this.#links.keys()) stack.interface(name).up()
    for (const nexthop of setup.nexthops ?? []) configureByCommand(stack, `nexthop add ${nexthop}`)
    for (const route of setup.routes ?? []) configureByCommand(stack, `route add ${route}`)
    set(setup.sysctl ?? {})
    this.#counters = this.#readCounters()
    this.#linkStats = this.#readLinks()
    this.#drops = {}
  }

  run(step: Step): Outcome {
    const stack = this.#stack!
    this.#sent.length = 0
    for (const { device, bytes } of step.packets) {
      this.#links.get(device)!.inject(bytes)
      this.#clock.advance(0)
    }
    this.#clock.advance((step.wait ?? 1) * 1e6)
    const drops = stack.mib.dropsByReason()
    const dropped = Object.entries(moved(this.#drops, drops)).flatMap(([reason, n]) =>
      Array<string>(n).fill(reason),
    )
    this.#drops = drops
    const counters = this.#readCounters()
    const links = this.#readLinks()
    const outcome: Outcome = {
      sent: this.#sent.splice(0),
      counters: moved(this.#counters, counters),
      drops: dropped.sort(),
      links: moved(this.#linkStats, links),
      routes: (step.routeGet ?? []).map((destination) => this.#routeGet(destination)),
    }
    this.#counters = counters
    this.#linkStats = links
    return outcome
  }

  #routeGet(destination: string): string {
    const { routing } = this.#stack!
    const flow = new Flow4()
    flow.daddr = parseIpv4(destination)
    const route = routing.output(flow)
    if (route === null) throw new Error(`no route to ${destination}`)
    const via = route.gateway === 0 ? '-' : formatIpv4(route.gateway)
    const metric = route.info === null ? 0 : route.info.mtu
    const mtu = route.pathMtu !== 0 ? route.pathMtu : metric
    return `${destination} via ${via} mtu ${mtu === 0 ? '-' : mtu}`
  }

  #readCounters(): Record<string, number> {
    return Object.fromEntries(this.#stack!.mib.nstat().filter(([name]) => isCompared(name)))
  }

  #readLinks(): Record<string, number> {
    const links: Record<string, number> = {}
    for (const { name, stats } of this.#stack!.interfaces) {
      links[`${name} rx bytes`] = stats.rxBytes
      links[`${name} rx packets`] = stats.rxPackets
      links[`${name} tx bytes`] = stats.txBytes
      links[`${name} tx packets`] = stats.txPackets
      links[`${name} dropped`] = stats.rxDropped + stats.txDropped
    }
    return links
  }
}
