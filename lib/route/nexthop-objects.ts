/**
 * The nexthop objects of one stack (Linux's `net/ipv4/nexthop.c`): how they come, what may take whose place, and
 * what goes with them. An object dies with its device, or with its carrier; the routes that name it die with it,
 * and a group loses a member, and is gone with the last.
 */
import type { Ipv4Address } from '../address/ipv4-address.ts'
import type { NetDevice } from '../device/net-device.ts'
import { Errno } from '../errors.ts'
import { FibNexthop } from './fib-types.ts'
import type { NexthopCheck } from './nexthop-check.ts'
import { type NexthopMember, NexthopObject } from './nexthop-object.ts'
import { NetlinkError, NexthopFlag, RouteTable, Scope } from './rtnetlink.ts'

/** An object as a program or a command asks for it. */
export interface NexthopRequest {
  /** 0: the next number that is free. */
  readonly id: number
  /** `RTPROT_*` */
  readonly protocol: number
  /** IPv4 was said, or follows from a device, a gateway, a black hole: a group has no family. */
  readonly inet: boolean
  /** `null`: an address of no length. 0: none. */
  readonly gateway: Ipv4Address | null | undefined
  readonly device: NetDevice | undefined
  readonly onlink: boolean
  readonly blackhole: boolean
  /** A group, by numbers. */
  readonly group: readonly { readonly id: number; readonly weight: number }[] | undefined
}

/** What objects ask of the tables. */
export interface NexthopObjectQuestions {
  selectSource(device: NetDevice | null, gateway: Ipv4Address, scope: number): Ipv4Address
  readonly sourceGeneration: number
  readonly loopback: NetDevice | null
}

const refuse = (errno: number, extack?: string): NetlinkError => new NetlinkError(errno, extack, 'nexthop')
const invalid = (extack: string): NetlinkError => refuse(Errno.EINVAL, extack)

export class NexthopObjects {
  readonly #check: NexthopCheck
  readonly #questions: NexthopObjectQuestions
  readonly #changed: (dead: boolean) => void
  readonly #byId = new Map<number, NexthopObject>()
  /** The number that was given last to one that asked for none. */
  #lastChosen = 0

  /** @param changed is called after each change; with `true` if routes are dead */
  constructor(check: NexthopCheck, questions: NexthopObjectQuestions, changed: (dead: boolean) => void) {
    this.#check = check
    this.#questions = questions
    this.#changed = changed
  }

  get(id: number): NexthopObject | undefined {
    return this.#byId.get(id)
  }

  /** @throws NetlinkError `EINVAL` if there is none */
  need(id: number): NexthopObject {
    const object = this.#byId.get(id)
    if (object === undefined) throw invalid('Nexthop id does not exist')
    return object
  }

  /** By number. */
  all(): NexthopObject[] {
    return [...this.#byId.values()].sort((a, b) => a.id - b.id)
  }

  /** The hops over a device. */
  *hopsOver(device: NetDevice): Generator<FibNexthop, void, undefined> {
    for (const { members, hops } of this.#byId.values()) {
      if (members === null && hops[0]!.device === device) yield hops[0]!
    }
  }

  /** Gives its number. @throws NetlinkError with Linux's errno and sentence */
  add(request: NexthopRequest, replaces: boolean): number {
    checkRequest(request)
    if (replaces && request.id === 0) throw invalid('Replace requires nexthop id')
    this.#checkParts(request)
    const id = request.id === 0 ? this.#freeId() : request.id
    const object = new NexthopObject(id, request.protocol)
    if (request.group !== undefined) this.#fillGroup(object, request.group)
    else this.#fillHop(object, request)
    const old = this.#byId.get(id)
    if (old === undefined) {
      this.#byId.set(id, object)
      this.#join(object)
    } else if (replaces) this.#replace(old, object)
    else throw refuse(Errno.EEXIST)
    this.#changed(false)
    return id
  }

  /** @throws NetlinkError `ENOENT`, `EINVAL` */
  delete(id: number): void {
    if (id === 0) throw invalid('Invalid nexthop id')
    const object = this.#byId.get(id)
    if (object === undefined) throw refuse(Errno.ENOENT)
    this.#changed(this.#remove(object))
  }

  /**
   * The device is down, has lost its carrier, or (`gone`) is no more: what leads over it is gone. Black holes stay
   * while there is a loopback device.
   */
  deviceLost(device: NetDevice, gone = false): void {
    const lost = this.all().filter(
      ({ members, hops, blackhole }) =>
        members === null && hops[0]!.device === device && (gone || !blackhole),
    )
    let dead = false
    for (const object of lost) dead = this.#remove(object) || dead
    if (lost.length > 0) this.#changed(dead)
  }

  /** Whether what it names is there, and fit for it. */
  #checkParts({ group, blackhole, device }: NexthopRequest): void {
    for (const { id } of group ?? []) {
      const object = this.#byId.get(id)
      if (object === undefined) throw invalid('Invalid nexthop id')
      if (object.members !== null) throw invalid('Hash-threshold group can not be a nexthop within a group')
      if (object.blackhole && group!.length > 1) {
        throw invalid('Blackhole nexthop can not be used in a group with more than 1 path')
      }
    }
    if (group !== undefined || blackhole) return
    if (!device!.up) throw refuse(Errno.ENETDOWN, 'Nexthop device is not up')
    if (!device!.carrier) throw refuse(Errno.ENETDOWN, 'Carrier for nexthop device is down')
  }

  /** The number after the one that was chosen last; a number that nothing came of is not given again soon. */
  #freeId(): number {
    do this.#lastChosen = (this.#lastChosen + 1) >>> 0
    while (this.#lastChosen === 0 || this.#byId.has(this.#lastChosen))
    return this.#lastChosen
  }

  #fillHop(object: NexthopObject, request: NexthopRequest): void {
    const hop = new FibNexthop()
    hop.device = request.blackhole ? this.#questions.loopback : request.device!
    hop.gateway = request.gateway ?? 0
    hop.flags = request.onlink ? NexthopFlag.ONLINK : 0
    this.#check.check(hop, Scope.UNIVERSE, RouteTable.MAIN)
    hop.source = this.#questions.selectSource(hop.device, hop.gateway, Math.max(0, hop.scope - 1))
    hop.sourceGeneration = this.#questions.sourceGeneration
    object.blackhole = request.blackhole
    object.flags = hop.flags
    object.hops = [hop]
  }

  #fillGroup(object: NexthopObject, group: NonNullable<NexthopRequest['group']>): void {
    object.members = group.map(({ id, weight }) => ({ object: this.#byId.get(id)!, weight, upperBound: 0 }))
    object.hops = object.members.map(({ object: { hops } }) => hops[0]!)
    object.rebalance()
  }

  #join(group: NexthopObject): void {
    for (const { object } of group.members ?? []) object.groups.add(group)
  }

  /** `replace_nexthop`: what one has, the other takes over; routes and groups keep naming the old one. */
  #replace(old: NexthopObject, by: NexthopObject): void {
    const checkFirst = ({ infos }: NexthopObject): void => {
      if (infos.length > 0) by.checkScope(infos[0]!.scope)
    }
    checkFirst(old)
    for (const group of old.groups) {
      if (by.isBlackhole && by.members === null && group.members!.length > 1) {
        throw invalid('Blackhole nexthop can not be a member of a group with more than one path')
      }
      checkFirst(group)
    }
    if (old.members !== null && by.members === null) {
      throw invalid('Can not replace a nexthop group with a nexthop.')
    }
    if (old.members === null && by.members !== null) {
      throw invalid('Can not replace a nexthop with a nexthop group.')
    }
    if (by.members !== null) {
      for (const { object } of old.members!) object.groups.delete(old)
      old.members = by.members
      this.#join(old)
    } else {
      old.blackhole = by.blackhole
      old.protocol = by.protocol
      old.flags = by.flags
    }
    old.hops = by.hops
    this.#refresh(old)
    for (const group of old.groups) this.#regroup(group, group.members!)
  }

  /** True if routes are dead now. */
  #remove(object: NexthopObject): boolean {
    this.#byId.delete(object.id)
    let dead = false
    for (const info of object.infos) {
      info.flags |= NexthopFlag.DEAD
      dead = true
    }
    for (const { object: member } of object.members ?? []) member.groups.delete(object)
    for (const group of [...object.groups]) {
      const left = group.members!.filter((member) => member.object !== object)
      if (left.length > 0) this.#regroup(group, left)
      else dead = this.#remove(group) || dead
    }
    return dead
  }

  #regroup(group: NexthopObject, members: readonly NexthopMember[]): void {
    group.members = members
    group.hops = members.map(({ object }) => object.hops[0]!)
    group.rebalance()
    this.#refresh(group)
  }

  /** Tells the routes that the object has other hops. */
  #refresh(object: NexthopObject): void {
    for (const info of object.infos) {
      info.nexthops = object.hops
      for (let kind = info.kinds; kind !== null; kind = kind.nextOfInfo) kind.refresh()
    }
  }
}

/** Whether the parts of a request go together (`rtm_to_nh_config`). @throws NetlinkError `EINVAL` */
function checkRequest({ inet, device, group, gateway, blackhole, onlink }: NexthopRequest): void {
  if (group !== undefined) {
    if (inet) throw invalid('Invalid family for group')
    if (new Set(group.map(({ id }) => id)).size < group.length) {
      throw invalid('Nexthop id can not be used twice in a group')
    }
  } else if (!inet) throw invalid('Invalid address family')
  else if (blackhole) {
    if (device !== undefined || gateway !== undefined) {
      throw invalid('Blackhole attribute can not be used with gateway, oif, encap or fdb')
    }
  } else if (device === undefined) {
    throw invalid('Device attribute required for non-blackhole and non-fdb nexthops')
  } else if (gateway === null) throw invalid('Invalid gateway')
  else if (gateway === undefined && onlink) {
    throw invalid('ONLINK flag can not be set for nexthop without a gateway')
  }
}
