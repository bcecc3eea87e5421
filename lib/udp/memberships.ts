/**
 * The groups that one socket has joined (`IP_ADD_MEMBERSHIP`): each on a device, which then listens to it for the
 * whole host, and leaves it with the last socket. A group may be joined for some senders only
 * (`IP_ADD_SOURCE_MEMBERSHIP`); that is the socket's affair, routers hear that the host wants all of them.
 */
import { formatIpv4, type Ipv4Address, isMulticast } from '../address/ipv4-address.ts'
import type { NetDevice } from '../device/net-device.ts'
import { invalidArgument, TunstackError } from '../errors.ts'
import type { Ipv4Context } from '../ipv4/context.ts'
import { Flow4 } from '../route/flow.ts'

interface Membership {
  group: Ipv4Address
  device: NetDevice
  /** Whom it is heard from; `null`: from everybody. */
  sources: Ipv4Address[] | null
}

/** Senders per group (`net.ipv4.igmp_max_msf`). */
const MAX_SOURCES = 10

export class Memberships {
  readonly #ctx: Ipv4Context
  readonly #joined: Membership[] = []

  constructor(ctx: Ipv4Context) {
    this.#ctx = ctx
  }

  /** @throws TunstackError `ERR_INVALID_ARG_VALUE` (no group), `ENODEV`, `EADDRINUSE` (joined already), `ENOBUFS` (too many) */
  join(group: Ipv4Address, device: NetDevice | null): void {
    if (!isMulticast(group)) throw invalidArgument('group', formatIpv4(group), 'an address in 224.0.0.0/4')
    const on = device ?? this.#deviceFor(group)
    if (this.#find(group, on) >= 0) {
      throw new TunstackError('EADDRINUSE', `${formatIpv4(group)} on ${on.name} was joined already`, {
        value: formatIpv4(group),
        syscall: 'setsockopt',
      })
    }
    const most = this.#ctx.sysctl.ipv4.igmp_max_memberships
    if (this.#joined.length >= most) {
      throw new TunstackError('ENOBUFS', `a socket may join ${most} groups (net.ipv4.igmp_max_memberships)`, {
        syscall: 'setsockopt',
      })
    }
    this.#ctx.routing.groups.join(on, group)
    this.#joined.push({ group, device: on, sources: null })
    this.#ctx.routing.flush() // whether this host hears what it sends to the group has changed
  }

  /** @throws TunstackError `EADDRNOTAVAIL` if it was not joined there; `null`: on whatever device it was joined first */
  leave(group: Ipv4Address, device: NetDevice | null): void {
    const index = this.#find(group, device)
    if (index < 0) {
      throw new TunstackError('EADDRNOTAVAIL', `${formatIpv4(group)} was not joined`, {
        value: formatIpv4(group),
        syscall: 'setsockopt',
      })
    }
    this.#drop(this.#joined.splice(index, 1)[0]!)
  }

  /**
   * Joins a group for what one sender sends to it, or for one sender more.
   * @throws TunstackError as {@link join}; `EADDRNOTAVAIL` if it hears that sender already
   */
  joinSource(group: Ipv4Address, source: Ipv4Address, device: NetDevice | null): void {
    if (!isMulticast(group)) throw invalidArgument('group', formatIpv4(group), 'an address in 224.0.0.0/4')
    const on = device ?? this.#deviceFor(group)
    if (this.#find(group, on) < 0) this.join(group, on)
    const joined = this.#joined[this.#find(group, on)]!
    joined.sources ??= [] // whoever has joined it for everybody narrows it down, as on Linux
    if (joined.sources.includes(source)) throw notJoined(group, source)
    if (joined.sources.length >= MAX_SOURCES) {
      throw new TunstackError('ENOBUFS', `a group may have ${MAX_SOURCES} sources`, { syscall: 'setsockopt' })
    }
    joined.sources.push(source)
  }

  /** With the last sender it leaves the group. @throws TunstackError `EADDRNOTAVAIL`; `EINVAL` if it has not joined */
  leaveSource(group: Ipv4Address, source: Ipv4Address, device: NetDevice | null): void {
    const index = this.#find(group, device)
    if (index < 0 || this.#joined[index]!.sources === null) {
      throw new TunstackError('EINVAL', `${formatIpv4(group)} was not joined for single sources`, {
        value: formatIpv4(group),
        syscall: 'setsockopt',
      })
    }
    const joined = this.#joined[index]!
    const at = joined.sources!.indexOf(source)
    if (at < 0) throw notJoined(group, source)
    joined.sources!.splice(at, 1)
    if (joined.sources!.length === 0) this.#drop(this.#joined.splice(index, 1)[0]!)
  }

  leaveAll(): void {
    for (const membership of this.#joined.splice(0)) this.#drop(membership)
  }

  /** Whether a socket gets what came by a device for a group (`ip_mc_sf_allow`). @param others what only others joined too */
  hears(group: Ipv4Address, ifindex: number, source: Ipv4Address, others: boolean): boolean {
    for (const joined of this.#joined) {
      if (joined.group !== group || joined.device.ifindex !== ifindex) continue
      return joined.sources === null || joined.sources.includes(source)
    }
    return others
  }

  #find(group: Ipv4Address, device: NetDevice | null): number {
    return this.#joined.findIndex(
      (joined) => joined.group === group && (device === null || joined.device === device),
    )
  }

  #drop({ group, device }: Membership): void {
    const { routing, devices } = this.#ctx
    if (devices.byIndex(device.ifindex) !== device) return // it has left all groups with itself
    routing.groups.leave(device, group)
    routing.flush()
  }

  /** The device that a datagram to the group would leave by (`ip_mc_find_dev`). */
  #deviceFor(group: Ipv4Address): NetDevice {
    const flow = new Flow4()
    flow.daddr = group
    const route = this.#ctx.routing.output(flow)
    if (route !== null) return route.device
    throw new TunstackError('ENODEV', `no route says on which device ${formatIpv4(group)} is; name one`, {
      value: formatIpv4(group),
      syscall: 'setsockopt',
    })
  }
}

function notJoined(group: Ipv4Address, source: Ipv4Address): TunstackError {
  return new TunstackError('EADDRNOTAVAIL', `${formatIpv4(source)} in ${formatIpv4(group)}`, {
    value: formatIpv4(source),
    syscall: 'setsockopt',
  })
}
