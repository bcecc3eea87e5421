/**
 * A network interface of a stack, as a program handles it: its addresses, up and down, MTU, counters. What
 * `ip address` and `ip link` do to a device of Linux, with the same consequences for routes.
 */
import { formatIpv4, ipv4Mask, parseIpv4, parseIpv4Prefix } from '../address/ipv4-address.ts'
import type { LinkStatName } from '../device/link-stats.ts'
import type { NetDevice } from '../device/net-device.ts'
import { invalidArgument, TunstackError } from '../errors.ts'
import { CLAMP_TO_PATH } from '../ipv4/clamp-mss.ts'
import type { InetAddress } from '../route/inet-address.ts'
import { numberOf, SCOPES } from '../route/names.ts'
import type { DeviceConf } from '../sysctl/device-conf.ts'
import type { Stack } from './stack.ts'

export interface AddAddressOptions {
  /** The other end of a point-to-point link, as text. */
  peer?: string
  /** `'+'` (all host bits set, the default for prefixes shorter than 31), an address, or `null` for none. */
  broadcast?: '+' | string | null
  scope?: 'global' | 'site' | 'link' | 'host'
  /** At most 15 bytes: `'lo:0'`. */
  label?: string
  noprefixroute?: boolean
  /** Seconds; for ever if absent. */
  validLifetime?: number
  /** Seconds, no more than `validLifetime`, which it is if absent. */
  preferredLifetime?: number
  /** Metric of the prefix route. */
  metric?: number
}

export class Interface {
  /** @internal what the stack works with */
  readonly device: NetDevice
  readonly #stack: Stack

  /** @internal use {@link Stack.addDevice} */
  constructor(stack: Stack, device: NetDevice) {
    this.#stack = stack
    this.device = device
  }

  get name(): string {
    return this.device.name
  }

  /** Interface index, 1 for loopback. */
  get index(): number {
    return this.device.ifindex
  }

  get isUp(): boolean {
    return this.device.up
  }

  /** Bytes. */
  get mtu(): number {
    return this.device.mtu
  }

  /** @throws TunstackError `EINVAL` outside the device's bounds; `ENODEV` once it was removed, as all that changes it */
  setMtu(mtu: number): this {
    this.#attached().link.setMtu(mtu)
    return this
  }

  /** Whether segments that belong together go through the stack as one packet (GRO). */
  get gro(): boolean {
    return this.device.gro
  }

  /** `ethtool -K … gro on|off`. Loopback has none. @throws TunstackError `EOPNOTSUPP` for loopback */
  setGro(on: boolean): this {
    const device = this.#attached()
    if (on && device.isLoopback) {
      throw new TunstackError('EOPNOTSUPP', 'loopback merges nothing: what it carries was never cut', {
        value: on,
      })
    }
    device.gro = on
    return this
  }

  /** What {@link setMssClamp} has set. */
  get mssClamp(): 'pmtu' | number | null {
    const { mssClamp } = this.device
    return mssClamp === CLAMP_TO_PATH ? 'pmtu' : mssClamp === 0 ? null : mssClamp
  }

  /**
   * Lowers the MSS of TCP connections that are forwarded through this device, in both directions: what their ends
   * announce (`tcp option maxseg size set …` of nftables). `'pmtu'`: to what the MTUs of the routes to both ends leave;
   * a number: to so many bytes; `null`: leaves it alone. Never raises it.
   * @throws TunstackError `ERR_INVALID_ARG_VALUE`
   */
  setMssClamp(mss: 'pmtu' | number | null): this {
    const known = mss === 'pmtu' || mss === null
    if (!known && !(Number.isInteger(mss) && mss >= 88 && mss <= 65495)) {
      throw invalidArgument('mss', mss, "'pmtu', a whole number from 88 to 65495, or null")
    }
    this.#attached().mssClamp = mss === 'pmtu' ? CLAMP_TO_PATH : (mss ?? 0)
    return this
  }

  up(): this {
    this.#stack.setDeviceUp(this.#attached(), true)
    return this
  }

  /** Routes over it go, except those to its own addresses; the addresses stay. */
  down(): this {
    this.#stack.setDeviceUp(this.#attached(), false)
    return this
  }

  /**
   * `addAddress('10.0.3.1/24')`: gives it an address, and the stack the routes that Linux would make.
   * @throws TunstackError `ERR_INVALID_ARG_VALUE`; `EEXIST` if it has it already; `EINVAL`, `ERANGE` for lifetimes and
   * labels that Linux refuses
   */
  addAddress(prefix: string, options: AddAddressOptions = {}): this {
    const device = this.#attached()
    const { address: local, length } = parseIpv4Prefix(prefix)
    const peer = options.peer === undefined ? undefined : parseIpv4Prefix(options.peer)
    const prefixLength = peer === undefined || !options.peer!.includes('/') ? length : peer.length
    const base = peer === undefined ? local : peer.address
    const preferredLifetime = options.preferredLifetime ?? options.validLifetime
    let broadcast = 0
    if (options.broadcast === undefined || options.broadcast === '+') {
      const wanted = options.broadcast === '+' || !device.isLoopback
      if (wanted && prefixLength < 31 && local >>> 24 !== 127) broadcast = base | ~ipv4Mask(prefixLength)
    } else if (options.broadcast !== null) broadcast = parseIpv4(options.broadcast)
    const { addresses } = this.#stack.routing
    addresses.add(
      device,
      {
        local,
        prefixLength,
        broadcast,
        ...(peer === undefined ? {} : { peer: peer.address }),
        ...(options.scope === undefined ? {} : { scope: numberOf(SCOPES, options.scope, 'scope') }),
        ...(options.label === undefined ? {} : { label: options.label }),
        ...(options.noprefixroute === undefined ? {} : { noprefixroute: options.noprefixroute }),
        ...(options.validLifetime === undefined ? {} : { validLifetime: options.validLifetime }),
        ...(preferredLifetime === undefined ? {} : { preferredLifetime }),
        ...(options.metric === undefined ? {} : { metric: options.metric }),
      },
      this.#stack.clock.now(),
    )
    this.#stack.addressesChanged()
    return this
  }

  /** Takes an address away, with its routes. @throws TunstackError `EADDRNOTAVAIL` if it has no such address */
  removeAddress(prefix: string): this {
    const { address: local, length } = parseIpv4Prefix(prefix)
    const selector = prefix.includes('/') ? { local, prefixLength: length } : { local }
    this.#stack.routing.addresses.delete(this.#attached(), selector)
    return this
  }

  /** Its addresses in Linux's order: `['10.0.3.1/24', …]`. */
  get addresses(): string[] {
    const list: readonly InetAddress[] = this.#stack.routing.addresses.of(this.device)
    return list.map((address) => `${formatIpv4(address.local)}/${address.prefixLength}`)
  }

  /**
   * Joins a multicast group: its packets are delivered from now on.
   * @throws TunstackError `ERR_INVALID_ARG_VALUE` if it is no multicast address
   */
  joinGroup(group: string): this {
    this.#stack.routing.groups.join(this.#attached(), parseIpv4(group))
    return this
  }

  /** Leaves a group once it was left as often as joined. @throws TunstackError `EADDRNOTAVAIL` if it was not joined */
  leaveGroup(group: string): this {
    this.#stack.routing.groups.leave(this.#attached(), parseIpv4(group))
    return this
  }

  /** The settings under `net.ipv4.conf.<name>`. */
  get conf(): DeviceConf {
    return this.#stack.sysctl.conf(this.device.ifindex)
  }

  /** What `ip -s link` shows. */
  get stats(): Record<LinkStatName, number> {
    return this.device.link.stats.snapshot()
  }

  /** Takes it out of the stack and closes the device. */
  async remove(): Promise<void> {
    await this.#stack.removeDevice(this)
  }

  #attached(): NetDevice {
    const { device } = this
    if (this.#stack.devices.byIndex(device.ifindex) === device) return device
    throw new TunstackError('ENODEV', `${device.name} was removed from its stack`, { value: device.name })
  }
}
