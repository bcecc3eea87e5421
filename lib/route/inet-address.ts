/** An IPv4 address of a device (Linux's `struct in_ifaddr`). */
import { type Ipv4Address, ipv4Mask } from '../address/ipv4-address.ts'
import type { NetDevice } from '../device/net-device.ts'
import { RouteProtocol, Scope } from './rtnetlink.ts'

/** Flags of an address (`IFA_F_*`). */
export const AddressFlag = {
  SECONDARY: 0x01,
  DEPRECATED: 0x20,
  PERMANENT: 0x80,
  NOPREFIXROUTE: 0x200,
  AUTOJOIN: 0x400,
} as const

/** A lifetime without end (`INFINITY_LIFE_TIME`). */
export const FOREVER = 0xffffffff

/** An address as a program or a command asks for it. */
export interface AddressConfig {
  local: Ipv4Address
  /** 0…32 */
  prefixLength: number
  /** The other end of a point-to-point link; the address itself if absent. */
  peer?: Ipv4Address
  /** 0 or absent: none. */
  broadcast?: Ipv4Address
  /** `Scope`; `HOST` for 127.0.0.0/8 and `UNIVERSE` for others if absent. */
  scope?: number
  /** 1…15 bytes; the device's name if absent. */
  label?: string
  noprefixroute?: boolean
  /** Seconds from now, or {@link FOREVER} (the default). */
  validLifetime?: number
  preferredLifetime?: number
  /** Metric of the prefix route; 0 for none. */
  metric?: number
  /** `IFAPROT_*`: who put it there; 0 if absent. */
  protocol?: number
}

export class InetAddress {
  readonly device: NetDevice
  readonly local: Ipv4Address
  /** `IFA_ADDRESS`: the peer's, or the same as `local`. The prefix is that of this address. */
  readonly address: Ipv4Address
  readonly prefixLength: number
  readonly mask: Ipv4Address
  /** 0: none */
  readonly broadcast: Ipv4Address
  readonly scope: number
  /** `tun0`, or `tun0:1`: whatever it was given, until the device gets another name. */
  label: string
  /** {@link AddressFlag} */
  flags: number
  metric: number
  protocol: number
  /** Seconds, counted from `updated`; meaningless if permanent. */
  validLifetime: number = FOREVER
  preferredLifetime: number = FOREVER
  /** Nanoseconds of the stack's clock. */
  readonly created: number
  updated: number

  constructor(device: NetDevice, config: AddressConfig, now: number) {
    this.device = device
    this.local = config.local | 0
    this.address = (config.peer ?? config.local) | 0
    this.prefixLength = config.prefixLength
    this.mask = ipv4Mask(config.prefixLength)
    this.broadcast = (config.broadcast ?? 0) | 0
    this.scope = config.scope ?? (config.local >>> 24 === 127 ? Scope.HOST : Scope.UNIVERSE)
    this.label = config.label ?? device.name
    this.flags = config.noprefixroute === true ? AddressFlag.NOPREFIXROUTE : 0
    this.metric = config.metric ?? 0
    this.protocol = config.protocol ?? RouteProtocol.UNSPEC
    this.created = now
    this.updated = now
    this.setLifetime(config.validLifetime ?? FOREVER, config.preferredLifetime ?? FOREVER, now)
  }

  get secondary(): boolean {
    return (this.flags & AddressFlag.SECONDARY) !== 0
  }

  /** It has no lifetime: it stays until it is deleted. */
  get permanent(): boolean {
    return (this.flags & AddressFlag.PERMANENT) !== 0
  }

  get deprecated(): boolean {
    return (this.flags & AddressFlag.DEPRECATED) !== 0
  }

  get noprefixroute(): boolean {
    return (this.flags & AddressFlag.NOPREFIXROUTE) !== 0
  }

  /** The network that the address is in. */
  get prefix(): Ipv4Address {
    return this.address & this.mask
  }

  /** `other` is on this address's subnet (`inet_ifa_match`). */
  covers(other: Ipv4Address): boolean {
    return ((other ^ this.address) & this.mask) === 0
  }

  /** Seconds for which it is still valid, and preferred: {@link FOREVER} if permanent, never negative. */
  remaining(now: number): { valid: number; preferred: number } {
    if (this.permanent) return { valid: FOREVER, preferred: FOREVER }
    const age = Math.floor((now - this.updated) / 1e9)
    const left = (lifetime: number): number => (lifetime === FOREVER ? FOREVER : Math.max(0, lifetime - age))
    return { valid: left(this.validLifetime), preferred: left(this.preferredLifetime) }
  }

  /** @internal */
  setLifetime(valid: number, preferred: number, now: number): void {
    this.flags &= ~(AddressFlag.PERMANENT | AddressFlag.DEPRECATED)
    this.validLifetime = valid
    this.preferredLifetime = preferred
    if (valid === FOREVER) this.flags |= AddressFlag.PERMANENT
    if (preferred === 0) this.flags |= AddressFlag.DEPRECATED
    this.updated = now
  }
}
