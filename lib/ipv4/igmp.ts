/**
 * IGMP for a host (RFC 3376, RFC 2236, RFC 1112): routers on a link hear which groups this host listens to there,
 * when that changes and when they ask. It speaks version 3, and the older version of a router that does, as long as
 * that is heard of. Times, their randomness and what is repeated are those of Linux's `net/ipv4/igmp.c`.
 */
import { INADDR_ALLHOSTS_GROUP, type Ipv4Address, isLocalMulticast } from '../address/ipv4-address.ts'
import type { NetDevice } from '../device/net-device.ts'
import { IpMib } from '../observe/mib.ts'
import { HEADROOM, type Packet } from '../packet/packet.ts'
import { Flow4 } from '../route/flow.ts'
import { MILLISECOND } from '../time/clock.ts'
import { Timer } from '../time/timer-wheel.ts'
import { DropReason } from '../wire/drop-reason.ts'
import {
  checkIgmp,
  IGMP_HEADER,
  IGMP_RECORD,
  IgmpQuery,
  IgmpRecord,
  IgmpType,
  INADDR_ALLRTRS_GROUP,
  INADDR_IGMPV3_GROUP,
  parseIgmpQuery,
  sumIgmp,
  writeIgmp,
  writeIgmpRecord,
  writeIgmpReport,
} from '../wire/igmp.ts'
import { IPV4_DF, IPV4_MIN_HEADER, IpProtocol } from '../wire/ipv4.ts'
import type { TransportProtocol } from './context.ts'
import { pushIpv4Header } from './header.ts'
import { ATOMIC_ID } from './identification.ts'
import type { Ipv4 } from './ipv4.ts'

/** Milliseconds. A change is told this long after it was made, so that several go into one report. */
const FIRST_REPORT = 8
/** Over how long a repetition is spread (`igmpv2_` and `igmpv3_unsolicited_report_interval`). */
const V2_REPEAT = 10_000
const V3_REPEAT = 1000
/** A query of version 1 does not say (RFC 2236 §4). */
const V1_RESPONSE = 10_000
const QUERY_INTERVAL = 125_000
const ROUTER_ALERT = 4
const TOS = 0xc0

/** A group that a device listens to, or has just left. */
class Membership {
  readonly group: Ipv4Address
  /** How often the change is still to be told in reports of version 3. */
  changes = 0
  /** The same for the older versions. */
  unsolicited = 0
  /** When it is reported by itself: by the older versions, or since a query asked for it. */
  readonly timer: Timer

  constructor(group: Ipv4Address, report: (membership: Membership) => void) {
    this.group = group
    this.timer = new Timer(() => report(this))
  }
}

/** What IGMP knows of a device. */
class DeviceState {
  /** The group joined last comes first, as on Linux. */
  members: Membership[] = []
  /** Left, and to be told so; the last comes first. */
  left: Membership[] = []
  robustness: number
  queryInterval = QUERY_INTERVAL
  responseInterval = V1_RESPONSE
  /** Until when, in ns, routers that speak only these are taken to be there. */
  v1Until = 0
  v2Until = 0
  /** Reports of changes that are still to be sent. */
  changeReports = 0
  readonly changeTimer: Timer
  readonly queryTimer: Timer

  constructor(
    robustness: number,
    change: (state: DeviceState) => void,
    answer: (state: DeviceState) => void,
  ) {
    this.robustness = robustness
    this.changeTimer = new Timer(() => change(this))
    this.queryTimer = new Timer(() => answer(this))
  }
}

export class Igmp implements TransportProtocol {
  readonly #ip: Ipv4
  readonly #devices = new Map<NetDevice, DeviceState>()
  readonly #query = new IgmpQuery()
  readonly #flow = new Flow4()

  constructor(ip: Ipv4) {
    this.#ip = ip
    ip.ctx.routing.groups.listener = this
  }

  receive(packet: Packet): void {
    const { ctx } = this.#ip
    const device = packet.device as NetDevice
    const { bytes, transportHeader: at, end } = packet
    const bad = checkIgmp(bytes, at, end)
    if (bad !== DropReason.NONE) return ctx.drop(packet, bad, device)
    // Nobody needs to hear what other hosts report: on devices like these it silences nobody, as on Linux.
    if (bytes[at] === IgmpType.QUERY && parseIgmpQuery(bytes, at, end, this.#query)) {
      this.#queried(device, this.#query)
      return ctx.consume(packet)
    }
    ctx.drop(packet, DropReason.NOT_SPECIFIED, device)
  }

  receiveError(): void {}

  /** The first on a device to listen to a group. */
  joined(device: NetDevice, group: Ipv4Address): void {
    if (group === INADDR_ALLHOSTS_GROUP) return
    const state = this.#state(device)
    state.left = state.left.filter((membership) => membership.group !== group)
    const membership = new Membership(group, (expired) => this.#expired(device, state, expired))
    state.members.unshift(membership)
    if (device.up) this.#added(state, membership)
  }

  /** The last on a device to do so has gone. */
  departed(device: NetDevice, group: Ipv4Address): void {
    const state = this.#devices.get(device)
    const index = state?.members.findIndex((membership) => membership.group === group) ?? -1
    if (state === undefined || index < 0) return
    const [membership] = state.members.splice(index, 1) as [Membership]
    this.#ip.ctx.timers.cancel(membership.timer)
    if (device.up && this.#isReported(group)) this.#dropped(device, state, membership)
  }

  /** A device is up: routers on its link have to hear everything. */
  deviceUp(device: NetDevice): void {
    const state = this.#devices.get(device)
    if (state === undefined) return
    for (const membership of state.members) this.#added(state, membership)
  }

  deviceDown(device: NetDevice): void {
    const state = this.#devices.get(device)
    if (state === undefined) return
    const { timers } = this.#ip.ctx
    timers.cancel(state.changeTimer)
    timers.cancel(state.queryTimer)
    for (const { timer } of state.members) timers.cancel(timer)
    state.changeReports = 0
    state.left = []
  }

  deviceRemoved(device: NetDevice): void {
    this.deviceDown(device)
    this.#devices.delete(device)
  }

  #state(device: NetDevice): DeviceState {
    let state = this.#devices.get(device)
    if (state === undefined) {
      const { igmp_qrv } = this.#ip.ctx.sysctl.ipv4
      state = new DeviceState(
        igmp_qrv,
        (each) => this.#reportChanges(device, each),
        (each) => this.#report(device, each.members, IgmpRecord.IS_EXCLUDE),
      )
      this.#devices.set(device, state)
    }
    return state
  }

  #added(state: DeviceState, membership: Membership): void {
    if (!this.#isReported(membership.group)) return
    membership.unsolicited = state.robustness
    if (this.#version(state) < 3) return this.#startIn(membership.timer, FIRST_REPORT)
    membership.changes = state.robustness
    this.#changed(state)
  }

  #dropped(device: NetDevice, state: DeviceState, membership: Membership): void {
    switch (this.#version(state)) {
      case 1:
        return // which has no leaves
      case 2:
        return this.#send(device, IgmpType.LEAVE, membership.group, INADDR_ALLRTRS_GROUP)
      case 3:
        membership.changes = state.robustness
        state.left.unshift(membership)
        this.#changed(state)
    }
  }

  #changed(state: DeviceState): void {
    state.changeReports = state.robustness
    this.#startIn(state.changeTimer, FIRST_REPORT)
  }

  #queried(device: NetDevice, query: IgmpQuery): void {
    const state = this.#state(device)
    const { timers } = this.#ip.ctx
    const now = timers.now
    let { maxResponse } = query
    if (query.version < 3) {
      const until = now + (state.robustness * state.queryInterval + state.responseInterval) * MILLISECOND
      if (query.version === 1) {
        maxResponse = V1_RESPONSE
        state.v1Until = until
      } else state.v2Until = until
      timers.cancel(state.changeTimer)
      state.changeReports = 0
      state.left = []
    } else if (this.#version(state) === 1) maxResponse = V1_RESPONSE
    else if (this.#version(state) === 3) {
      state.robustness = query.robustness || this.#ip.ctx.sysctl.ipv4.igmp_qrv
      state.queryInterval = query.interval || QUERY_INTERVAL
      state.responseInterval = maxResponse
      if (query.group === 0) {
        if (query.sources === 0) this.#startWithin(state.queryTimer, maxResponse)
        return
      }
    }
    for (const membership of state.members) {
      const { group, timer } = membership
      if (query.group !== 0 && query.group !== group) continue
      if (!this.#isReported(group)) continue
      membership.unsolicited = 0 // the answer tells it as well
      if (timer.armed && timer.deadline - now < maxResponse * MILLISECOND) continue
      this.#startWithin(timer, maxResponse)
    }
  }

  /** A group is to be reported by itself. */
  #expired(device: NetDevice, state: DeviceState, membership: Membership): void {
    const version = this.#version(state)
    if (membership.unsolicited > 0 && --membership.unsolicited > 0) {
      this.#startWithin(membership.timer, version < 3 ? V2_REPEAT : V3_REPEAT)
    }
    const { group } = membership
    switch (version) {
      case 1:
        return this.#send(device, IgmpType.V1_REPORT, group, group)
      case 2:
        return this.#send(device, IgmpType.V2_REPORT, group, group)
      case 3:
        return this.#report(device, [membership], IgmpRecord.IS_EXCLUDE)
    }
  }

  #reportChanges(device: NetDevice, state: DeviceState): void {
    const { left, members } = state
    const records: [type: number, group: Ipv4Address][] = []
    for (const [list, type] of [
      [left, IgmpRecord.TO_INCLUDE],
      [members, IgmpRecord.TO_EXCLUDE],
    ] as const) {
      for (const membership of list) {
        if (membership.changes === 0) continue
        membership.changes--
        records.push([type, membership.group])
      }
    }
    state.left = left.filter(({ changes }) => changes > 0)
    this.#sendRecords(device, records)
    if (--state.changeReports > 0) this.#startWithin(state.changeTimer, V3_REPEAT)
  }

  #report(device: NetDevice, members: readonly Membership[], type: number): void {
    const records = members
      .filter(({ group }) => this.#isReported(group))
      .map(({ group }): [number, Ipv4Address] => [type, group])
    this.#sendRecords(device, records)
  }

  #sendRecords(device: NetDevice, records: readonly (readonly [type: number, group: Ipv4Address])[]): void {
    const overhead = IPV4_MIN_HEADER + ROUTER_ALERT + IGMP_HEADER
    const most = Math.max(1, Math.floor((device.mtu - overhead) / IGMP_RECORD))
    for (let from = 0; from < records.length; from += most) {
      const part = records.slice(from, from + most)
      this.#transmit(
        device,
        INADDR_IGMPV3_GROUP,
        IGMP_HEADER + part.length * IGMP_RECORD,
        (bytes, at, end) => {
          writeIgmpReport(bytes, at, part.length)
          part.forEach(([type, group], i) => {
            writeIgmpRecord(bytes, at + IGMP_HEADER + i * IGMP_RECORD, type, group)
          })
          sumIgmp(bytes, at, end)
        },
      )
    }
  }

  #send(device: NetDevice, type: number, group: Ipv4Address, to: Ipv4Address): void {
    this.#transmit(device, to, IGMP_HEADER, (bytes, at) => writeIgmp(bytes, at, type, group))
  }

  /** Sends a message of so many bytes, with the router alert that tells routers to look (RFC 2113). */
  #transmit(
    device: NetDevice,
    to: Ipv4Address,
    length: number,
    write: (bytes: Uint8Array, at: number, end: number) => void,
  ): void {
    const { ctx, output } = this.#ip
    const flow = this.#flow.reset()
    flow.daddr = to
    flow.oif = device.ifindex
    flow.protocol = IpProtocol.IGMP
    const route = ctx.routing.output(flow)
    if (route === null) return
    const packet = ctx.pool.allocate(length, HEADROOM)
    if (packet === null) {
      ctx.mib.ip[IpMib.OutDiscards]!++
      return
    }
    const at = packet.put(length)
    write(packet.bytes, at, at + length)
    // Only an address of that very link means something there; else 0.0.0.0 (RFC 3376 §4.2.13).
    const own = ctx.routing.addresses.of(device).some(({ local }) => local === flow.saddr)
    const source = own || to !== INADDR_IGMPV3_GROUP ? flow.saddr : 0
    pushIpv4Header(packet, source, to, IpProtocol.IGMP, TOS, 1, ATOMIC_ID, IPV4_DF, ROUTER_ALERT)
    const options = packet.networkHeader + IPV4_MIN_HEADER
    packet.bytes[options] = 0x94
    packet.bytes[options + 1] = ROUTER_ALERT
    packet.bytes[options + 2] = packet.bytes[options + 3] = 0
    output.sendLocal(packet, route)
  }

  #version({ v1Until, v2Until }: DeviceState): 1 | 2 | 3 {
    const { now } = this.#ip.ctx.timers
    return now < v1Until ? 1 : now < v2Until ? 2 : 3
  }

  #isReported(group: Ipv4Address): boolean {
    if (group === INADDR_ALLHOSTS_GROUP) return false
    return !isLocalMulticast(group) || this.#ip.ctx.sysctl.ipv4.igmp_link_local_mcast_reports !== 0
  }

  #startIn(timer: Timer, milliseconds: number): void {
    const { timers } = this.#ip.ctx
    timers.schedule(timer, timers.now + milliseconds * MILLISECOND)
  }

  /** At a moment by chance, so that not all hosts of a link speak at once. */
  #startWithin(timer: Timer, milliseconds: number): void {
    const { random } = this.#ip.ctx
    this.#startIn(timer, FIRST_REPORT + random.below(Math.max(1, milliseconds)))
  }
}
