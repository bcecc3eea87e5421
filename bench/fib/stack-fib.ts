/** The whole way of a lookup in a stack's FIB, with what comes after the match: aliases, scope, next hops. */
import { createPipe, Stack } from '../../lib/index.ts'
import { FibResult } from '../../lib/route/fib-types.ts'
import { Flow4 } from '../../lib/route/flow.ts'
import { each, longestOf, type Measured, rate } from './measure.ts'
import type { Small } from './processes.ts'
import { byAddress, byPrefix, type Prefixes, skewed } from './tables.ts'

/** Next hops: as many as a router with a full table has neighbours, and more. */
const GATEWAYS = 1000
/** Updates that are measured at full size. */
const UPDATES = 20_000

function collect(): number {
  const { gc } = globalThis as { gc?: () => void }
  if (gc === undefined) throw new Error('this needs node --expose-gc')
  gc()
  gc()
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  return heapUsed + arrayBuffers
}

/** A stack with a device that has its carrier: another stack holds the other end. */
function routed(): Stack {
  const stack = new Stack()
  const [device, other] = createPipe({ names: ['eth0', 'eth0'] })
  stack.addDevice(device).addAddress('10.0.0.1/20')
  new Stack().addDevice(other)
  return stack
}

const gatewayOf = (i: number): number => (10 << 24) + 2 + (i % GATEWAYS)

export function measureStack(prefixes: Prefixes): Measured {
  const { prefix, length } = prefixes
  const { fib } = routed().routing
  const add = (i: number): void =>
    fib.addRoute({ prefix: prefix[i]!, prefixLength: length[i]!, gateway: gatewayOf(i) })
  const before = collect()
  const { longest, total: build } = longestOf(prefix.length, add)
  const bytes = (collect() - before) / prefix.length
  const flow = new Flow4()
  const result = new FibResult()
  const find = (address: number): number => {
    flow.daddr = address
    return fib.lookup(flow, result) === 0 ? result.prefixLength + result.nexthop!.gateway : 0
  }
  const rates = {
    byPrefix: rate(byPrefix(prefixes), find),
    byAddress: rate(byAddress(prefixes), find),
    skewed: rate(skewed(prefixes), find),
  }
  const updates = Math.min(UPDATES, prefix.length)
  const remove = each(updates, (i) => fib.deleteRoute({ prefix: prefix[i]!, prefixLength: length[i]! }))
  const insert = each(updates, add)
  const wide = (of: number, bits: number): number =>
    each(2000, () => {
      fib.addRoute({ prefix: of, prefixLength: bits, gateway: gatewayOf(0), priority: 9 })
      fib.deleteRoute({ prefix: of, prefixLength: bits, priority: 9 })
    }) / 2
  return { build, longest, bytes, ...rates, insert, remove, default: wide(0, 0), slash8: wide(100 << 24, 8) }
}

/** KiB of a new stack, and what ten routes add to one; the means of many. */
export function measureSmall(): Small {
  const count = 200
  routed()
  const empty = collect()
  const bare = Array.from({ length: count }, () => new Stack())
  const stack = (collect() - empty) / count / 1024
  const stacks = Array.from({ length: count }, routed)
  const before = collect()
  for (const [s, { routing }] of stacks.entries()) {
    for (let i = 0; i < 10; i++) {
      const prefix = ((11 + i) << 24) | (((s * 7919 + i * 104_729) & 0xffff) << 8)
      routing.fib.addRoute({ prefix, prefixLength: 24, gateway: gatewayOf(i) })
    }
  }
  const tenRoutes = (collect() - before) / count / 1024
  if (bare.length + stacks.length !== 2 * count) throw new Error('a stack is missing')
  return { stack, tenRoutes }
}
