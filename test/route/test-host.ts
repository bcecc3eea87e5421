/** Tables, addresses and devices that carry nothing, for tests of routing alone. */

import { parseIpv4, parseIpv4Prefix } from '../../lib/address/ipv4-address.ts'
import { type LinkDevice, LinkFlag, NO_FEATURES } from '../../lib/device/link-device.ts'
import { LinkStats } from '../../lib/device/link-stats.ts'
import { DeviceTable, NetDevice } from '../../lib/device/net-device.ts'
import { Fib } from '../../lib/route/fib.ts'
import type { RouteConfig } from '../../lib/route/fib-types.ts'
import type { AddressConfig } from '../../lib/route/inet-address.ts'
import { InetAddresses } from '../../lib/route/inet-addresses.ts'
import { Sysctl } from '../../lib/sysctl/sysctl.ts'

export class IdleLink implements LinkDevice {
  readonly name: string
  readonly type: 'loopback' | 'none'
  readonly flags: number
  mtu: number
  readonly minMtu = 0
  readonly maxMtu = 65536
  readonly features = NO_FEATURES
  readonly txQueueLength = 500
  readonly qdisc = 'noqueue'
  carrier: boolean
  readonly gone = false
  readonly stats = new LinkStats()

  constructor(name: string, loopback: boolean, carrier: boolean) {
    this.name = name
    this.type = loopback ? 'loopback' : 'none'
    this.flags = loopback ? LinkFlag.LOOPBACK : LinkFlag.POINTOPOINT | LinkFlag.NOARP | LinkFlag.MULTICAST
    this.mtu = loopback ? 65536 : 1500
    this.carrier = carrier
  }

  attach(): void {}
  setUp(): void {}
  setMtu(mtu: number): void {
    this.mtu = mtu
  }
  transmit(): number {
    return 0
  }
  async close(): Promise<void> {}
}

export class TestHost {
  readonly devices = new DeviceTable()
  readonly sysctl = new Sysctl()
  readonly fib: Fib
  readonly addresses: InetAddresses

  /** `lo`, and a device per name. */
  constructor(names: readonly string[] = ['tun0', 'tun1'], carrier = true) {
    this.fib = new Fib({ devices: this.devices, sysctl: this.sysctl })
    this.addresses = new InetAddresses({ fib: this.fib, devices: this.devices, sysctl: this.sysctl })
    this.add('lo', true, true)
    for (const name of names) this.add(name, false, carrier)
  }

  add(name: string, loopback: boolean, carrier: boolean): NetDevice {
    const owner = { transmitPending: () => {}, drop: () => {} }
    const device = new NetDevice(new IdleLink(name, loopback, carrier), this.devices.takeIndex(), name, owner)
    this.devices.add(device)
    this.addresses.deviceAdded(device)
    return device
  }

  device(name: string): NetDevice {
    return this.devices.byName(name)!
  }

  up(...names: string[]): this {
    for (const name of names) {
      const device = this.device(name)
      if (device.up) continue
      device.up = true
      this.addresses.deviceUp(device)
    }
    return this
  }

  down(name: string): this {
    const device = this.device(name)
    if (!device.up) return this
    device.up = false
    this.addresses.deviceDown(device)
    return this
  }

  address(text: string, device: string, more: Partial<AddressConfig> = {}): this {
    const { address, length } = parseIpv4Prefix(text)
    this.addresses.add(this.device(device), { local: address, prefixLength: length, ...more })
    return this
  }

  removeAddress(text: string, device: string): this {
    const { address, length } = parseIpv4Prefix(text)
    this.addresses.delete(this.device(device), { local: address, prefixLength: length })
    return this
  }

  route(prefix: string, device: string | null, via: string | null = null): RouteConfig {
    const { address, length } = parseIpv4Prefix(prefix)
    const config: RouteConfig = { prefix: address, prefixLength: length }
    if (device !== null) config.device = this.device(device)
    if (via !== null) config.gateway = parseIpv4(via)
    return config
  }
}
