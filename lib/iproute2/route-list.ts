/** `ip route show` and `ip route flush`: the routes that a filter lets through, printed or removed. */
import type { FibAlias } from '../route/fib-types.ts'
import { RouteTable, RouteType } from '../route/rtnetlink.ts'
import type { Sysctl } from '../sysctl/sysctl.ts'
import type { Command } from './command.ts'
import { beginDump } from './dump.ts'
import { DUMP_FILTERED, MULTI } from './netlink.ts'
import { Status, strerror } from './outcome.ts'
import { Printer } from './printer.ts'
import { parseRouteFilter, passes, type RouteFilter } from './route-filter.ts'
import { entryMessage } from './route-message.ts'
import { encodeRoute } from './route-netlink.ts'
import { printRoute } from './route-printer.ts'
import type { Words } from './words.ts'

export function showRoutes(command: Command, words: Words): number {
  const { stack, output } = command
  const filter = parseRouteFilter(command, words)
  if (filter === undefined) return Status.REFUSED
  const printer = new Printer(command.options)
  printer.begin()
  if (tableMissing(command, filter)) {
    // What was begun by then is written, unfinished.
    output.write(printer.take())
    return Status.KERNEL
  }
  for (const alias of selected(command, filter)) {
    printRoute(printer, command, entryMessage(alias, stack.sysctl), filter)
    output.write(printer.take())
  }
  printer.end()
  output.write(printer.take())
  return Status.OK
}

export function saveRoutes(command: Command, words: Words): number {
  const { stack, options, dumps } = command
  const filter = parseRouteFilter(command, words)
  if (filter === undefined || !beginDump(command, 'route')) return Status.REFUSED
  if (tableMissing(command, filter)) return Status.KERNEL
  const flags = options.strict ? MULTI | DUMP_FILTERED : MULTI
  for (const alias of selected(command, filter)) {
    dumps.write(encodeRoute(entryMessage(alias, stack.sysctl), flags))
  }
  return Status.OK
}

export function flushRoutes(command: Command, words: Words): number {
  const { stack, options, output } = command
  if (words.done) {
    output.complain('"ip route flush" requires arguments.')
    return Status.REFUSED
  }
  const filter = parseRouteFilter(command, words)
  if (filter === undefined) return Status.REFUSED
  if (filter.cached) {
    stack.routing.flush()
    if (options.statistics > 0) output.hold('*** IPv4 routing cache is flushed.\n')
    return Status.OK
  }
  if (tableMissing(command, filter, 'Flush')) return Status.KERNEL
  const printer = new Printer({ ...options, json: false })
  const doomed = [...selected(command, filter)]
  let refusal: string | undefined
  for (const alias of doomed) {
    if (options.statistics > 1) {
      printRoute(printer, command, entryMessage(alias, stack.sysctl), filter)
      output.write(printer.take())
    }
    const refused = flushRefusal(alias, stack.sysctl)
    if (refused === undefined) stack.routing.fib.removeAlias(alias)
    refusal ??= refused
  }
  if (refusal !== undefined) {
    output.complain(`Failed to send flush request: ${strerror(refusal)}`)
    return Status.KERNEL
  }
  output.write(options.statistics > 0 ? flushReport(doomed.length) : '')
  return Status.OK
}

/**
 * iproute2 asks for deletion in the words in which the route was listed, which with a nexthop object the kernel does
 * not take: its number and its hops exclude each other, and no black hole was added.
 */
function flushRefusal({ info }: FibAlias, sysctl: Sysctl): string | undefined {
  if (info.nexthop === null) return undefined
  if (sysctl.ipv4.nexthop_compat_mode !== 0) return 'EINVAL'
  return info.nexthop.isBlackhole && info.type !== RouteType.BLACKHOLE ? 'ESRCH' : undefined
}

/** What `-s` has a flush say. */
export function flushReport(count: number, what = 'entries'): string {
  if (count === 0) return 'Nothing to flush.\n'
  return `\n*** Round 1, deleting ${count} ${what} ***\n*** Flush is complete after 1 round ***\n`
}

function* selected({ stack }: Command, filter: RouteFilter): Generator<FibAlias, void, undefined> {
  const { fib } = stack.routing
  for (const alias of filter.table === 0 ? fib.dumpAll() : fib.dump(filter.table)) {
    if (passes(filter, entryMessage(alias, stack.sysctl))) yield alias
  }
}

/** A strict request for a table that is not there is refused; for `main` that goes unsaid. */
function tableMissing({ stack, options, output }: Command, filter: RouteFilter, what = 'Dump'): boolean {
  const { table } = filter
  if (!options.strict || table === 0 || table === RouteTable.MAIN || filter.otherFamily) return false
  if (stack.routing.fib.table(table) !== undefined) return false
  output.complain('Error: ipv4: FIB table does not exist.')
  output.complain(`${what} terminated`)
  return true
}
