/**
 * What a next hop has learnt about single destinations: a smaller path MTU (RFC 1191), or another gateway
 * (ICMP redirect). Linux calls these FIB next-hop exceptions. They lapse, and they are bounded: the ICMP
 * messages that make them come from outside.
 */
import type { Ipv4Address } from '../address/ipv4-address.ts'
import type { FibNexthop } from './fib-types.ts'
import type { Route } from './route.ts'

/** At most so many destinations per next hop; the oldest goes first. */
export const MAX_EXCEPTIONS = 1024

export class NexthopException {
  /** 0: none learnt. */
  gateway: Ipv4Address = 0
  /** Bytes; 0: none learnt. */
  pathMtu = 0
  mtuLocked = false
  /** Stack time in nanoseconds; 0: never. */
  expires = 0
  inputRoute: Route | null = null
  outputRoute: Route | null = null

  expired(now: number): boolean {
    return this.expires !== 0 && now >= this.expires
  }

  /** Decisions made from it have to be made again, also by those who keep them. */
  invalidate(): void {
    if (this.inputRoute !== null) this.inputRoute.generation = -1
    if (this.outputRoute !== null) this.outputRoute.generation = -1
    this.inputRoute = null
    this.outputRoute = null
  }
}

/** What is known of `destination` by way of `nexthop`, or `null`. Allocates nothing. */
export function findException(
  nexthop: FibNexthop | null,
  destination: Ipv4Address,
  now: number,
): NexthopException | null {
  if (nexthop === null || nexthop.exceptions === null) return null
  const exception = nexthop.exceptions.get(destination) as NexthopException | undefined
  if (exception === undefined) return null
  if (exception.expired(now)) {
    nexthop.exceptions.delete(destination)
    return null
  }
  return exception
}

/** The exception for `destination`, made if there is none. */
export function obtainException(nexthop: FibNexthop, destination: Ipv4Address): NexthopException {
  const exceptions = (nexthop.exceptions ??= new Map<Ipv4Address, unknown>())
  let exception = exceptions.get(destination) as NexthopException | undefined
  if (exception === undefined) {
    if (exceptions.size >= MAX_EXCEPTIONS) {
      for (const [oldest, evicted] of exceptions) {
        exceptions.delete(oldest)
        ;(evicted as NexthopException).invalidate()
        break
      }
    }
    exception = new NexthopException()
    exceptions.set(destination, exception)
  }
  exception.invalidate()
  return exception
}
