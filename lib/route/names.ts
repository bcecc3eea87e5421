/**
 * The words in which programs and people say what `rtnetlink.ts` has as numbers: those of iproute2.
 */
import { invalidArgument } from '../errors.ts'
import { RouteProtocol, RouteTable, RouteType, Scope } from './rtnetlink.ts'

export const ROUTE_TYPES = {
  unicast: RouteType.UNICAST,
  local: RouteType.LOCAL,
  broadcast: RouteType.BROADCAST,
  anycast: RouteType.ANYCAST,
  multicast: RouteType.MULTICAST,
  throw: RouteType.THROW,
  unreachable: RouteType.UNREACHABLE,
  prohibit: RouteType.PROHIBIT,
  blackhole: RouteType.BLACKHOLE,
} as const

export const SCOPES = {
  global: Scope.UNIVERSE,
  site: Scope.SITE,
  link: Scope.LINK,
  host: Scope.HOST,
} as const

export const TABLES = { main: RouteTable.MAIN, local: RouteTable.LOCAL, default: RouteTable.DEFAULT } as const

export const PROTOCOLS = {
  kernel: RouteProtocol.KERNEL,
  boot: RouteProtocol.BOOT,
  static: RouteProtocol.STATIC,
} as const

/**
 * The number of a name.
 * @param what what the name is of, for the error
 * @throws TunstackError `ERR_INVALID_ARG_VALUE` if there is no such name
 */
export function numberOf(names: Readonly<Record<string, number>>, name: unknown, what: string): number {
  if (typeof name === 'string' && Object.hasOwn(names, name)) return names[name]!
  throw invalidArgument(what, name, `one of ${Object.keys(names).join(', ')}`)
}

/** The name of a number, or the number. */
export function nameOf(names: Readonly<Record<string, number>>, number: number): string {
  return Object.keys(names).find((name) => names[name] === number) ?? String(number)
}
