/**
 * A routing decision (Linux's `struct rtable`): what is to be done with a packet, on input and on output. It is
 * made once per next hop and reused for every packet that goes that way, so a decision names no destination,
 * save the exceptions learnt for one (path MTU, redirect). A packet carries its decision across the loopback
 * device, where input uses it instead of asking again.
 */
import type { Ipv4Address } from '../address/ipv4-address.ts'
import type { NetDevice } from '../device/net-device.ts'
import type { Destination } from '../packet/packet.ts'
import type { FibInfo, FibNexthop } from './fib-types.ts'
import { Metric } from './rtnetlink.ts'

/** What becomes of a packet that is received under a decision (`dst->input`). */
export const InputAction = {
  /** Nothing: it was made for output, and not for a loopback device. */
  DISCARD: 0,
  /** `ip_local_deliver` */
  LOCAL: 1,
  /** `ip_forward` */
  FORWARD: 2,
  /** `ip_error`: answer with the ICMP error for `errno`. */
  ERROR: 3,
} as const
export type InputAction = (typeof InputAction)[keyof typeof InputAction]

export class Route implements Destination {
  readonly family = 4
  /** `RTN_*` */
  type = 0
  /** `RTCF_*` */
  flags = 0
  input: InputAction = InputAction.DISCARD
  /** Positive errno for `InputAction.ERROR`; 0 otherwise. */
  errno = 0
  /** The device that it leaves by; for local delivery the loopback device. */
  device: NetDevice
  /** 0: the destination itself is the next hop. */
  gateway: Ipv4Address = 0
  /** Realms: the hop's, where it has none the rule's, then those of the way back; 16 bits of source, 16 of destination. */
  tclassid = 0
  /** Table that answered. */
  tableId = 0
  /** The hop it was made from; `null` for routes that no table holds. */
  nexthop: FibNexthop | null = null
  info: FibInfo | null = null
  /** Learnt path MTU in bytes; 0 if none. Only in exceptions. */
  pathMtu = 0
  /** The path MTU is locked (`mtu lock`, or a router told a value below `min_pmtu`): packets leave without DF. */
  mtuLocked = false
  /** Nanoseconds (stack time) at which an exception lapses; 0 for never. */
  expires = 0
  /** True if it was made by an input lookup. */
  isInput = false
  /** Tables' generation that it was made in; a holder whose generation differs asks again. */
  generation = -1

  constructor(device: NetDevice) {
    this.device = device
  }

  /** Largest packet that fits: what the path has taught, else the route's metric, else the device's MTU. */
  get mtu(): number {
    return this.pathMtu !== 0 ? Math.min(this.pathMtu, this.device.mtu) : this.configuredMtu
  }

  /** The route's metric, else the device's MTU: what holds whatever the path has taught. */
  get configuredMtu(): number {
    const metric = this.info === null ? 0 : this.info.mtu
    return metric !== 0 ? Math.min(metric, 65520) : Math.min(this.device.mtu, 65535)
  }
}

/** The route was given its MTU with `lock`: nothing is learnt about it. */
export function isMtuLocked(info: FibInfo | null): boolean {
  const metrics = info === null ? null : info.metrics
  return metrics !== null && (metrics[Metric.LOCK]! & (1 << Metric.MTU)) !== 0
}

/** Each half of the first realms, or where that is 0 of the second (`set_class_tag`). */
export function mergeRealms(own: number, other: number): number {
  const source = own >>> 16 === 0 ? other & ~0xffff : own & ~0xffff
  const destination = (own & 0xffff) === 0 ? other & 0xffff : own & 0xffff
  return source | destination
}
