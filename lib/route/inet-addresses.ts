/**
 * The IPv4 addresses of a stack's devices (Linux's `devinet.c`): their order, primaries and secondaries, their
 * lifetimes, the choice of a source address, and what becomes of addresses and routes when a device comes, goes,
 * or goes up and down. The stack tells it of its devices; it tells the forwarding tables.
 */
import { INADDR_LOOPBACK, type Ipv4Address } from '../address/ipv4-address.ts'
import type { DeviceTable, NetDevice } from '../device/net-device.ts'
import { Errno } from '../errors.ts'
import type { Sysctl } from '../sysctl/sysctl.ts'
import { addAddressRoutes, changePrefixMetric, removeAddressRoutes } from './address-routes.ts'
import { type Fib, IPV4_MIN_MTU } from './fib.ts'
import { FibResult } from './fib-types.ts'
import { Flow4 } from './flow.ts'
import { type AddressConfig, AddressFlag, FOREVER, InetAddress } from './inet-address.ts'
import { NetlinkError, RouteTable, RouteType, Scope } from './rtnetlink.ts'

/** How an addition treats an address that is there (`NLM_F_*`): `replace` and `change` renew its lifetimes. */
export type AddressAddMode = 'add' | 'replace' | 'change'

/** Hears of every address that comes (`added`), changes (`changed`) and goes (`removed`). */
export type AddressListener = (event: 'added' | 'changed' | 'removed', address: InetAddress) => void

/** What a deletion names; what is absent matches anything. */
export interface AddressSelector {
  local?: Ipv4Address
  /** With it, the prefix must be that of `peer`, or of `local`. */
  prefixLength?: number
  peer?: Ipv4Address
  label?: string
}

export interface InetAddressesOptions {
  fib: Fib
  devices: DeviceTable
  sysctl: Sysctl
}

const NO_ADDRESSES: readonly InetAddress[] = []

export class InetAddresses {
  /** Grows with every address that comes or goes (`dev_addr_genid`). */
  generation = 0
  readonly #fib: Fib
  readonly #devices: DeviceTable
  readonly #sysctl: Sysctl
  readonly #ofDevice = new Map<NetDevice, InetAddress[]>()
  /** By local address, the newest first. */
  readonly #byLocal = new Map<Ipv4Address, InetAddress[]>()
  readonly #listeners: AddressListener[] = []
  readonly #flow = new Flow4()
  readonly #result = new FibResult()

  constructor({ fib, devices, sysctl }: InetAddressesOptions) {
    this.#fib = fib
    this.#devices = devices
    this.#sysctl = sysctl
    fib.selectSource = (device, toward, scope) => this.selectSource(device, toward, scope)
  }

  /** Addresses of a device in the order in which Linux lists them: primaries by scope, then secondaries. */
  of(device: NetDevice): readonly InetAddress[] {
    return this.#ofDevice.get(device) ?? NO_ADDRESSES
  }

  /** Without any, the reverse-path check has nothing to go by. */
  hasAddresses(device: NetDevice): boolean {
    return this.of(device).length > 0
  }

  /** Those of all devices, in order of their index. */
  *[Symbol.iterator](): Generator<InetAddress, void, undefined> {
    for (const device of this.#devices) yield* this.of(device)
  }

  /** Calls back after every change. Gives a function that ends it. */
  onChange(listener: AddressListener): () => void {
    this.#listeners.push(listener)
    return () => {
      const index = this.#listeners.indexOf(listener)
      if (index >= 0) this.#listeners.splice(index, 1)
    }
  }

  /**
   * Gives a device an address, and the stack its routes. With `replace` and `change` an address that is there
   * gets the lifetimes and the metric of `config`, nothing else.
   * @param now nanoseconds of the stack's clock, from which lifetimes count
   * @throws NetlinkError `EEXIST`, `EINVAL`, `ENOBUFS`
   */
  add(device: NetDevice, config: AddressConfig, now = 0, mode: AddressAddMode = 'add'): InetAddress {
    checkConfig(config)
    // Linux takes 0.0.0.0 and does nothing.
    if (config.local === 0) return new InetAddress(device, config, now)
    const list = this.#ofDevice.get(device)
    if (list === undefined) throw new NetlinkError(Errno.ENOBUFS, undefined, 'address')
    this.#sysctl.settle(device.ifindex)
    const address = new InetAddress(device, config, now)
    const existing = list.find(
      (other) =>
        other.mask === address.mask && other.covers(address.address) && other.local === address.local,
    )
    if (existing === undefined) return this.#insert(list, address)
    if (mode === 'add') {
      throw new NetlinkError(Errno.EEXIST, 'ipv4: Address already assigned', 'address', config.local)
    }
    if (existing.metric !== address.metric) {
      changePrefixMetric(this.#fib, existing, address.metric)
      existing.metric = address.metric
    }
    existing.protocol = address.protocol
    existing.setLifetime(config.validLifetime ?? FOREVER, config.preferredLifetime ?? FOREVER, now)
    this.#tell('changed', existing)
    return existing
  }

  #insert(list: InetAddress[], address: InetAddress): InetAddress {
    let position = 0
    list.forEach((other, index) => {
      if (!other.secondary && address.scope <= other.scope) position = index + 1
      if (other.mask === address.mask && other.covers(address.address)) {
        if (other.scope !== address.scope) {
          throw new NetlinkError(Errno.EINVAL, 'ipv4: Invalid scope value', 'address', address.scope)
        }
        address.flags |= AddressFlag.SECONDARY
      }
    })
    list.splice(address.secondary ? list.length : position, 0, address)
    const alike = this.#byLocal.get(address.local)
    if (alike === undefined) this.#byLocal.set(address.local, [address])
    else alike.unshift(address)
    this.#come(address)
    return address
  }

  /**
   * Takes the first address away that has all that is given. A primary takes its secondaries along, or is
   * followed by the first of them (`promote_secondaries`).
   * @throws NetlinkError `EADDRNOTAVAIL`, `ENODEV`
   */
  delete(device: NetDevice, selector: AddressSelector): InetAddress {
    if (!this.#ofDevice.has(device)) {
      throw new NetlinkError(Errno.ENODEV, 'ipv4: Device not found', 'address', device.name)
    }
    const { local, prefixLength, label } = selector
    const network = selector.peer ?? local
    const address = this.of(device).find(
      (other) =>
        (local === undefined || other.local === local) &&
        (label === undefined || other.label === label) &&
        (prefixLength === undefined ||
          (prefixLength === other.prefixLength && (network === undefined || other.covers(network)))),
    )
    if (address === undefined) {
      throw new NetlinkError(Errno.EADDRNOTAVAIL, 'ipv4: Address not found', 'address', local)
    }
    this.remove(address)
    return address
  }

  /** Takes this very address away; nothing if it is gone already. */
  remove(address: InetAddress): void {
    const list = this.#ofDevice.get(address.device)
    if (list === undefined || !list.includes(address)) return
    const secondaries = address.secondary
      ? []
      : list.filter((other) => other.secondary && sameNet(address, other))
    const promote = this.#sysctl.conf(address.device.ifindex).promoteSecondaries ? secondaries[0] : undefined
    if (promote === undefined) {
      for (const secondary of secondaries) this.#drop(list, secondary, false)
      this.#drop(list, address, false)
      return
    }
    // Their routes have the old primary as source: they go before it does, and come back with the new one.
    for (const secondary of secondaries) removeAddressRoutes(this.#fib, secondary, list, address, false)
    const after = list.findLastIndex((other) => !other.secondary && address.scope <= other.scope)
    const ahead = list[after] === address ? list[after - 1] : list[after]
    this.#drop(list, address, false)
    list.splice(list.indexOf(promote), 1)
    list.splice(ahead === undefined ? 0 : list.indexOf(ahead) + 1, 0, promote)
    promote.flags &= ~AddressFlag.SECONDARY
    this.#come(promote)
    for (const secondary of secondaries) {
      if (secondary !== promote) addAddressRoutes(this.#fib, secondary, list)
    }
  }

  /**
   * Takes away what is no longer valid and marks what is no longer preferred. Gives the time of the next such
   * change in nanoseconds, `Infinity` if none is to come.
   */
  expire(now: number): number {
    let next = Number.POSITIVE_INFINITY
    for (const address of [...this]) {
      if (address.permanent) continue
      const valid = deadline(address.updated, address.validLifetime)
      const preferred = deadline(address.updated, address.preferredLifetime)
      if (valid <= now) {
        this.remove(address)
        continue
      }
      next = Math.min(next, valid)
      if (preferred > now) next = Math.min(next, preferred)
      else if (!address.deprecated) {
        address.flags |= AddressFlag.DEPRECATED
        this.#tell('changed', address)
      }
    }
    return next
  }

  /**
   * A source address for packets to `toward` (0: anywhere) of a scope no nearer than `scope`
   * (`inet_select_addr`): from the device, else from any, loopback first. 0 if there is none.
   */
  selectSource(device: NetDevice | null, toward: Ipv4Address, scope: number): Ipv4Address {
    if (device !== null) {
      const nearest = this.#nearestScope(device)
      let found = 0
      for (const address of this.of(device)) {
        if (address.secondary || Math.min(address.scope, nearest) > scope) continue
        if (toward === 0 || address.covers(toward)) return address.local
        if (found === 0) found = address.local
      }
      if (found !== 0) return found
    }
    for (const other of this.#devices) {
      for (const address of this.of(other)) {
        if (!address.secondary && address.scope !== Scope.LINK && address.scope <= scope) return address.local
      }
    }
    return 0
  }

  /**
   * Confirms that `local` (0: any) is an address of the device, or of any if `null`, that will do for `toward`
   * (0: anything) within `scope`; gives it, or 0 (`inet_confirm_addr`).
   */
  confirm(device: NetDevice | null, toward: Ipv4Address, local: Ipv4Address, scope: number): Ipv4Address {
    if (device !== null) return this.#confirmOn(device, toward, local, scope)
    for (const other of this.#devices) {
      const address = this.#confirmOn(other, toward, local, scope)
      if (address !== 0) return address
    }
    return 0
  }

  #confirmOn(device: NetDevice, toward: Ipv4Address, local: Ipv4Address, scope: number): Ipv4Address {
    const nearest = this.#nearestScope(device)
    let found = 0
    let same = false
    for (const address of this.of(device)) {
      const fits = Math.min(address.scope, nearest) <= scope
      if (found === 0 && (local === address.local || local === 0) && fits) {
        found = address.local
        if (same) break
      }
      if (same) continue
      same = (local === 0 || address.covers(local)) && (toward === 0 || address.covers(toward))
      if (!same || found === 0) continue
      if (local !== 0 || toward === 0 || address.covers(found)) break
      if (fits) {
        found = address.local
        break
      }
      same = false // an address of a larger subnet may still do
    }
    return same ? found : 0
  }

  /** The device that has the address, or whose prefix makes it local (`ip_dev_find`); `null` if none. */
  deviceOf(address: Ipv4Address): NetDevice | null {
    const owner = this.#byLocal.get(address)
    if (owner !== undefined) return owner[0]!.device
    const flow = this.#flow.reset()
    flow.daddr = address
    const result = this.#result
    if (this.#fib.lookupTable(RouteTable.LOCAL, flow, result) !== 0) return null
    return result.type === RouteType.LOCAL ? result.nexthop!.device : null
  }

  /** The address is one of this host's own, not just of a local prefix (`inet_lookup_ifaddr_rcu`). */
  isOwn(address: Ipv4Address): boolean {
    return this.#byLocal.has(address)
  }

  /** A primary address of the device has both `a` and `b` (0: any) on its subnet (`inet_addr_onlink`). */
  isOnLink(device: NetDevice, a: Ipv4Address, b: Ipv4Address): boolean {
    for (const address of this.of(device)) {
      if (!address.secondary && address.covers(a) && (b === 0 || address.covers(b))) return true
    }
    return false
  }

  // What the stack tells of its devices. Each call has every consequence that it has in Linux, for addresses,
  // routes, rules and sysctls.

  /** A device is there, down and without addresses. */
  deviceAdded(device: NetDevice): void {
    this.#sysctl.addDevice(device.ifindex, device.name)
    if (device.mtu >= IPV4_MIN_MTU) this.#ofDevice.set(device, [])
    this.#fib.deviceAdded(device)
    if (device.up) this.deviceUp(device)
  }

  /** It has another name, and so have its addresses: the first that very name, others what their label had after `:`. */
  deviceRenamed(device: NetDevice): void {
    for (const [at, address] of this.of(device).entries()) {
      const colon = address.label.indexOf(':')
      const suffix = at === 0 ? '' : colon < 0 ? `:${at + 1}` : address.label.slice(colon)
      address.label = device.name.slice(0, 15 - suffix.length) + suffix
    }
    this.#sysctl.renameDevice(device.ifindex, device.name)
    this.#fib.deviceRenamed(device)
  }

  /** It is up now: `device.up` is set. Loopback gets 127.0.0.1/8. */
  deviceUp(device: NetDevice, now = 0): void {
    const list = this.#ofDevice.get(device)
    if (list === undefined) return
    if (device.isLoopback) this.#addLoopback(device, now)
    for (const address of list) addAddressRoutes(this.#fib, address, list)
    this.#fib.deviceUp(device)
    this.#bump()
  }

  /** 127.0.0.1/8, each time that loopback goes up, unless something else is in its way. */
  #addLoopback(device: NetDevice, now: number): void {
    try {
      this.add(device, { local: INADDR_LOOPBACK, prefixLength: 8, scope: Scope.HOST }, now)
    } catch (error) {
      if (!(error instanceof NetlinkError)) throw error
    }
  }

  /** It is down now: `device.up` is false. Addresses and their `local` routes stay, all else over it goes. */
  deviceDown(device: NetDevice): void {
    if (this.#ofDevice.has(device)) this.#fib.deviceDown(device)
    this.#fib.nexthops.deviceLost(device)
  }

  /** Carrier has come or gone. */
  deviceCarrier(device: NetDevice): void {
    if (this.#ofDevice.has(device)) this.#fib.deviceCarrier(device)
    if (!device.carrier) this.#fib.nexthops.deviceLost(device)
  }

  /** Its MTU has changed. Below 68 bytes there is no IPv4: the addresses go. */
  mtuChanged(device: NetDevice): void {
    const enabled = this.#ofDevice.has(device)
    if (enabled && device.mtu < IPV4_MIN_MTU) {
      this.#removeAll(device)
      this.#sysctl.removeDevice(device.ifindex)
    } else if (!enabled && device.mtu >= IPV4_MIN_MTU) {
      this.#sysctl.addDevice(device.ifindex, device.name)
      this.#ofDevice.set(device, [])
    }
    this.#fib.generation++
  }

  /** It is going for good. */
  deviceRemoved(device: NetDevice): void {
    this.#removeAll(device)
    this.#fib.deviceRemoved(device)
    this.#fib.nexthops.deviceLost(device, true)
    this.#sysctl.removeDevice(device.ifindex)
  }

  #removeAll(device: NetDevice): void {
    const list = this.#ofDevice.get(device)
    if (list === undefined) return
    while (list.length > 0) this.#drop(list, list[0]!, true)
    this.#ofDevice.delete(device)
  }

  #come(address: InetAddress): void {
    addAddressRoutes(this.#fib, address, this.of(address.device))
    this.#fib.deviceUp(address.device)
    this.#bump()
    this.#tell('added', address)
  }

  #drop(list: InetAddress[], address: InetAddress, gone: boolean): void {
    list.splice(list.indexOf(address), 1)
    const alike = this.#byLocal.get(address.local)!
    alike.splice(alike.indexOf(address), 1)
    if (alike.length === 0) this.#byLocal.delete(address.local)
    removeAddressRoutes(this.#fib, address, list, null, gone)
    this.#bump()
    if (list.length === 0) this.#fib.deviceLostAddresses(address.device)
    this.#tell('removed', address)
  }

  #bump(): void {
    this.generation++
    this.#fib.sourceGeneration = this.generation
    this.#fib.generation++
  }

  #tell(event: 'added' | 'changed' | 'removed', address: InetAddress): void {
    for (const listener of this.#listeners) listener(event, address)
  }

  /** With `route_localnet`, addresses of scope host are good for the link. */
  #nearestScope(device: NetDevice): number {
    return this.#sysctl.conf(device.ifindex).routeLocalnet ? Scope.LINK : Scope.HOST
  }
}

function sameNet(primary: InetAddress, other: InetAddress): boolean {
  return primary.mask === other.mask && other.covers(primary.address)
}

function deadline(from: number, lifetime: number): number {
  return lifetime === FOREVER ? Number.POSITIVE_INFINITY : from + lifetime * 1e9
}

function checkConfig(config: AddressConfig): void {
  const { prefixLength, label, validLifetime = FOREVER, preferredLifetime = FOREVER } = config
  const invalid = (extack: string, value: unknown): NetlinkError =>
    new NetlinkError(Errno.EINVAL, extack, 'address', value)
  if (!(prefixLength >= 0 && prefixLength <= 32)) throw invalid('ipv4: Invalid prefix length', prefixLength)
  if (validLifetime === 0 || preferredLifetime > validLifetime) {
    throw invalid('ipv4: address lifetime invalid', validLifetime)
  }
  if (label !== undefined && label.length > 15) {
    throw new NetlinkError(Errno.ERANGE, 'Attribute failed policy validation', 'address', label)
  }
}
