/** Routes as a line of text, near to what `ip route` prints: enough for comparisons in tests. */
import { formatIpv4 } from '../../lib/address/ipv4-address.ts'
import type { FibAlias, FibNexthop } from '../../lib/route/fib-types.ts'
import { Metric, NexthopFlag, RouteProtocol, RouteType, Scope } from '../../lib/route/rtnetlink.ts'

const TYPES = Object.fromEntries(Object.entries(RouteType).map(([name, n]) => [n, name.toLowerCase()]))
const SCOPES = Object.fromEntries(Object.entries(Scope).map(([name, n]) => [n, name.toLowerCase()]))
const PROTOCOLS = Object.fromEntries(
  Object.entries(RouteProtocol).map(([name, n]) => [n, name.toLowerCase()]),
)

const flagNames = (flags: number): string =>
  [
    (flags & NexthopFlag.DEAD) !== 0 ? 'dead' : '',
    (flags & NexthopFlag.ONLINK) !== 0 ? 'onlink' : '',
    (flags & NexthopFlag.LINKDOWN) !== 0 ? 'linkdown' : '',
  ]
    .filter((name) => name !== '')
    .join(',')

const hopText = (hop: FibNexthop): string =>
  `${hop.gateway === 0 ? '-' : formatIpv4(hop.gateway)}@${hop.device?.name ?? '-'}`

export function routeText(alias: FibAlias, tableId = alias.tableId): string {
  const { info } = alias
  const group = info.nexthops.length > 1
  const hops = info.nexthops.map((hop) =>
    group ? `${hopText(hop)}*${hop.weight}[${flagNames(hop.flags)}]` : hopText(hop),
  )
  const metrics: string[] = []
  for (const [name, metric] of [
    ['mtu', Metric.MTU],
    ['advmss', Metric.ADVMSS],
  ] as const) {
    const value = info.metrics?.[metric] ?? 0
    if (value !== 0) metrics.push(`${name}=${value}`)
  }
  return [
    TYPES[alias.type],
    `${formatIpv4(alias.prefix)}/${alias.prefixLength}`,
    `table=${tableId}`,
    `tos=${alias.tos}`,
    hops.join('+'),
    `proto=${PROTOCOLS[info.protocol]}`,
    `scope=${SCOPES[info.scope]}`,
    `src=${info.prefsrc === 0 ? '-' : formatIpv4(info.prefsrc)}`,
    `metric=${info.priority}`,
    `flags=${group ? flagNames(info.flags & ~NexthopFlag.ONLINK) : flagNames(info.nexthops[0]!.flags)}`,
    ...metrics,
  ].join(' ')
}
