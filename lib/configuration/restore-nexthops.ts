/**
 * Nexthop objects, put into a stack before the routes that name them. An object may have outlived the way to its
 * gateway, or have been made when that was another: then a route to the gateway is lent, and taken back at once.
 */

import type { NetDevice } from '../device/net-device.ts'
import { TunstackError } from '../errors.ts'
import type { NexthopObjects } from '../route/nexthop-objects.ts'
import { RouteTable, RouteType, Scope } from '../route/rtnetlink.ts'
import type { BatchWriter } from './batch-text.ts'
import { hostRoute } from './lent-routes.ts'
import type { NexthopModel, RouteModel } from './model.ts'

/** What restoring a configuration has for this part of it. */
export interface NexthopHands {
  readonly objects: NexthopObjects
  readonly writer: BatchWriter | undefined
  device(name: string): NetDevice
  lend(route: RouteModel): void
  takeBack(route: RouteModel): void
  /** Runs a step; what it is refused for is told with the path. */
  attempt(path: string, step: () => void): void
}

export function restoreNexthops(models: readonly NexthopModel[], hands: NexthopHands): void {
  // A group needs its members.
  for (const groups of [false, true]) {
    models.forEach((model, index) => {
      if ((model.members !== null) === groups) restoreOne(model, `nexthopObjects[${index}]`, hands)
    })
  }
}

function restoreOne(model: NexthopModel, path: string, hands: NexthopHands): void {
  if (succeeds(model, hands)) return
  const { gateway, device, onlink, scope } = model
  if (gateway === 0 || device === null) return hands.attempt(path, () => add(model, hands))
  // An object with `onlink` wants its gateway to be nobody here, others a way of the very scope they have.
  const way = hostRoute(RouteType.UNICAST, gateway, device, RouteTable.LOCAL, onlink ? Scope.LINK : scope)
  let lent = true
  try {
    hands.lend(way)
  } catch (error) {
    if (!(error instanceof TunstackError)) throw error
    lent = false
  }
  hands.attempt(path, () => add(model, hands))
  if (lent) hands.takeBack(way)
}

/** Whether it comes out as it was without further ado; else it is as if nothing had been tried. */
function succeeds(model: NexthopModel, hands: NexthopHands): boolean {
  const { objects, writer } = hands
  try {
    request(model, hands)
  } catch (error) {
    if (!(error instanceof TunstackError)) throw error
    return false
  }
  const same =
    model.members !== null || model.blackhole || objects.get(model.id)!.hops[0]!.scope === model.scope
  if (same) writer?.nexthop(model)
  else objects.delete(model.id)
  return same
}

function add(model: NexthopModel, hands: NexthopHands): void {
  request(model, hands)
  hands.writer?.nexthop(model)
}

/** @throws NetlinkError */
function request(model: NexthopModel, { objects, device }: NexthopHands): void {
  const { id, protocol, members, onlink, blackhole, gateway } = model
  objects.add(
    {
      id,
      protocol,
      inet: members === null,
      gateway: gateway === 0 ? undefined : gateway,
      device: model.device === null ? undefined : device(model.device),
      onlink,
      blackhole,
      group: members ?? undefined,
    },
    false,
  )
}
