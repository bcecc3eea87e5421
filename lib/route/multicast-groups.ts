/**
 * Which multicast groups a host listens to, per device (RFC 1112 §7). Every device that is up is in 224.0.0.1;
 * programs join others. What is not joined is not delivered, whatever the routes say.
 */
import { INADDR_ALLHOSTS_GROUP, type Ipv4Address, isMulticast } from '../address/ipv4-address.ts'
import type { NetDevice } from '../device/net-device.ts'
import { invalidArgument, TunstackError } from '../errors.ts'
import { IPV4_MIN_MTU } from './fib.ts'

/** Told when a device begins to listen to a group, and when it ends. */
export interface GroupListener {
  joined(device: NetDevice, group: Ipv4Address): void
  departed(device: NetDevice, group: Ipv4Address): void
}

export class MulticastGroups {
  listener: GroupListener | null = null
  readonly #joined = new Map<number, Map<Ipv4Address, number>>()
  /** Those among them that addresses brought along. */
  readonly #automatic = new Map<number, Set<Ipv4Address>>()

  /** @throws TunstackError `ERR_INVALID_ARG_VALUE` if `group` is no multicast address */
  join(device: NetDevice, group: Ipv4Address): void {
    if (!isMulticast(group)) throw invalidArgument('group', group >>> 0, 'an address in 224.0.0.0/4')
    let groups = this.#joined.get(device.ifindex)
    if (groups === undefined) this.#joined.set(device.ifindex, (groups = new Map()))
    const users = groups.get(group) ?? 0
    groups.set(group, users + 1)
    if (users === 0) this.listener?.joined(device, group)
  }

  /** @throws TunstackError `EADDRNOTAVAIL` if it was not joined */
  leave(device: NetDevice, group: Ipv4Address): void {
    const groups = this.#joined.get(device.ifindex)
    const users = groups?.get(group)
    if (groups === undefined || users === undefined) {
      throw new TunstackError('EADDRNOTAVAIL', `${device.name} is not a member of that group`, {
        value: group >>> 0,
      })
    }
    if (users > 1) {
      groups.set(group, users - 1)
      return
    }
    groups.delete(group)
    this.listener?.departed(device, group)
  }

  /** Joins for an address with `autojoin`. False if another has done so. */
  autojoin(device: NetDevice, group: Ipv4Address): boolean {
    if (!isMulticast(group)) return false
    let groups = this.#automatic.get(device.ifindex)
    if (groups === undefined) this.#automatic.set(device.ifindex, (groups = new Set()))
    if (groups.has(group)) return false
    groups.add(group)
    this.join(device, group)
    return true
  }

  /** Leaves again, if it was so joined. */
  autoleave(device: NetDevice, group: Ipv4Address): void {
    if (this.#automatic.get(device.ifindex)?.delete(group)) this.leave(device, group)
  }

  /** True if a packet for `group` that arrives on `device` is for this host (`ip_check_mc`). */
  isMember(device: NetDevice, group: Ipv4Address): boolean {
    if (group === INADDR_ALLHOSTS_GROUP) return device.up
    return this.#joined.get(device.ifindex)?.has(group) ?? false
  }

  /** What a device listens to, the group joined last first. */
  of(device: NetDevice): Ipv4Address[] {
    const joined = [...(this.#joined.get(device.ifindex)?.keys() ?? [])]
    const member = device.up && device.mtu >= IPV4_MIN_MTU
    if (member && !joined.includes(INADDR_ALLHOSTS_GROUP)) joined.unshift(INADDR_ALLHOSTS_GROUP)
    return joined.reverse()
  }

  removeDevice(device: NetDevice): void {
    this.#joined.delete(device.ifindex)
    this.#automatic.delete(device.ifindex)
  }
}
