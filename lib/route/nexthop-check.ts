/**
 * Whether a next hop can be one (Linux's `fib_check_nh`): its device is up and speaks IPv4, its gateway is reached
 * through something nearer than what is to use it. The routes' own hops and nexthop objects are looked at alike.
 */
import type { NetDevice } from '../device/net-device.ts'
import { Errno } from '../errors.ts'
import { type FibNexthop, FibResult } from './fib-types.ts'
import { Flow4 } from './flow.ts'
import { NetlinkError, NexthopFlag, RouteTable, RouteType, Scope } from './rtnetlink.ts'

/** What the check asks of the tables. */
export interface NexthopQuestions {
  /** A lookup in one table, whatever the carrier; -EAGAIN if the table is not there. */
  lookupTable(tableId: number, flow: Flow4, result: FibResult): number
  /** A lookup through all rules, whatever the carrier. */
  lookupAny(flow: Flow4, result: FibResult): number
  addressType(address: number, device: NetDevice | null, tableId: number): number
  /** IPv4 runs on the device at all (not with an MTU below 68). */
  hasIpv4(device: NetDevice): boolean
  readonly loopbackIndex: number
}

const invalid = (extack: string): NetlinkError => new NetlinkError(Errno.EINVAL, extack, 'route')

export class NexthopCheck {
  readonly #questions: NexthopQuestions
  readonly #flow = new Flow4()
  readonly #result = new FibResult()

  constructor(questions: NexthopQuestions) {
    this.#questions = questions
  }

  /** Fills in the hop's scope, device and state. @throws NetlinkError with Linux's errno and sentence */
  check(hop: FibNexthop, scope: number, table: number): void {
    if (hop.gateway !== 0) this.#checkGateway(hop, scope, table)
    else this.#checkLink(hop)
  }

  #checkLink(hop: FibNexthop): void {
    if ((hop.flags & NexthopFlag.ONLINK) !== 0) {
      throw invalid('Invalid flags for nexthop - PERVASIVE and ONLINK can not be set')
    }
    if (hop.device === null || !this.#questions.hasIpv4(hop.device)) {
      throw new NetlinkError(Errno.ENODEV, undefined, 'route')
    }
    if (!hop.device.up) throw new NetlinkError(Errno.ENETDOWN, 'Device for nexthop is not up', 'route')
    hop.scope = Scope.HOST
    if (!hop.device.carrier) hop.flags |= NexthopFlag.LINKDOWN
  }

  #checkGateway(hop: FibNexthop, scope: number, table: number): void {
    if ((hop.flags & NexthopFlag.ONLINK) !== 0) {
      if (scope >= Scope.LINK) throw invalid('Nexthop has invalid scope')
      if (hop.device === null) {
        throw new NetlinkError(Errno.ENODEV, 'Nexthop device required for onlink', 'route')
      }
      if (!hop.device.up) throw new NetlinkError(Errno.ENETDOWN, 'Nexthop device is not up', 'route')
      if (this.#questions.addressType(hop.gateway, null, RouteTable.LOCAL) !== RouteType.UNICAST) {
        throw invalid('Nexthop has invalid gateway')
      }
      hop.scope = Scope.LINK
    } else {
      const result = this.#reach(hop, scope, table)
      if (result.type !== RouteType.UNICAST && result.type !== RouteType.LOCAL) {
        throw invalid('Nexthop has invalid gateway')
      }
      hop.scope = result.scope
      hop.device = result.nexthop!.device
      if (hop.device === null) throw invalid('No egress device for nexthop gateway')
      if (!hop.device.up) throw new NetlinkError(Errno.ENETDOWN, undefined, 'route')
    }
    if (!hop.device.carrier) hop.flags |= NexthopFlag.LINKDOWN
  }

  /** How the gateway itself is reached: through something nearer than what uses it. */
  #reach(hop: FibNexthop, scope: number, table: number): FibResult {
    const flow = this.#flow.reset()
    flow.daddr = hop.gateway
    flow.scope = Math.max(scope + 1, Scope.LINK)
    flow.oif = hop.device === null ? 0 : hop.device.ifindex
    flow.iif = this.#questions.loopbackIndex
    const result = this.#result
    result.reset()
    let error = -Errno.EAGAIN
    if (table !== RouteTable.MAIN) error = this.#questions.lookupTable(table, flow, result)
    if (error !== 0) error = this.#questions.lookupAny(flow, result)
    if (error !== 0) throw new NetlinkError(-error, 'Nexthop has invalid gateway', 'route')
    return result
  }
}
