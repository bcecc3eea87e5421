/**
 * In which order to add addresses. Each device's are listed in an order that adding them one by one restores. Where
 * several devices have the same address, the one that got it last counts as its owner: nothing lists that, but the
 * routes to the address in table `local` are in order of their arrival.
 */
import { RouteTable, RouteType } from '../route/rtnetlink.ts'
import type { ConfigurationModel } from './model.ts'

/** The indices of the model's addresses, in the order in which to add them. */
export function arrivalOrder({ addresses, routes }: ConfigurationModel): number[] {
  const owners = ownersInOrder(addresses, routes)
  const queues = new Map<string, number[]>()
  addresses.forEach(({ device }, index) => {
    const queue = queues.get(device)
    if (queue === undefined) queues.set(device, [index])
    else queue.push(index)
  })
  const order: number[] = []
  while (queues.size > 0) {
    // Another must come first that waits behind one of this device: then no order is right.
    const ready = [...queues].find(([device, [next]]) => {
      const waiting = owners.get(addresses[next!]!.local)
      return waiting === undefined || waiting.indexOf(device) <= 0
    })
    const [device, queue] = ready ?? queues.entries().next().value!
    const index = queue.shift()!
    order.push(index)
    if (queue.length === 0) queues.delete(device)
    const waiting = owners.get(addresses[index]!.local)
    if (waiting?.includes(device)) waiting.splice(waiting.indexOf(device), 1)
  }
  return order
}

/** For each address that several devices have, those devices, the first to get it first. */
function ownersInOrder(
  addresses: ConfigurationModel['addresses'],
  routes: ConfigurationModel['routes'],
): Map<number, string[]> {
  const devices = new Map<number, Set<string>>()
  for (const { local, device } of addresses) {
    const set = devices.get(local)
    if (set === undefined) devices.set(local, new Set([device]))
    else set.add(device)
  }
  const owners = new Map<number, string[]>()
  for (const { table, type, prefix, prefixLength, hops } of routes) {
    if (table !== RouteTable.LOCAL || type !== RouteType.LOCAL || prefixLength !== 32) continue
    const { device } = hops[0]!
    if (device === null || (devices.get(prefix)?.size ?? 0) < 2 || !devices.get(prefix)!.has(device)) continue
    const list = owners.get(prefix) ?? []
    if (!list.includes(device)) owners.set(prefix, [...list, device])
  }
  return owners
}
