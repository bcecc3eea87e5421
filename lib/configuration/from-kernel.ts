/**
 * A stack like a real machine: made from what `ip -N -j link show`, `address show`, `route show table all` and
 * `rule show` print there, and `sysctl -a` if given. Its devices have no wire; it is there to be asked. What a stack
 * cannot have, and what those commands cannot tell, is listed, never left out in silence.
 */

import { RouteProtocol, RouteType } from '../route/rtnetlink.ts'
import type { Stack, StackOptions } from '../stack/stack.ts'
import type { StackConfiguration } from './configuration.ts'
import { encode } from './encode.ts'
import { readAddresses } from './kernel-addresses.ts'
import { readLinks } from './kernel-links.ts'
import { type KernelNames, namesOf } from './kernel-names.ts'
import { readNexthops } from './kernel-nexthops.ts'
import { readRoutes, unpluggedDevices } from './kernel-routes.ts'
import { type Skip, Skips } from './kernel-row.ts'
import { readRules } from './kernel-rules.ts'
import { readSettings } from './kernel-settings.ts'
import { restore } from './load.ts'
import { type ConfigurationModel, FIRST_RULES, type RouteModel, ruleIdentity } from './model.ts'
import { refusalText } from './restoration.ts'
import { snapshot } from './snapshot.ts'
import { standIn } from './stand-in.ts'

export type { KernelNames } from './kernel-names.ts'

/** What a part of the machine's state is not in the stack for. */
export type SkippedPart = Skip

/** The output of `ip -j`, parsed: `JSON.parse(…)` of each command's. With `-N` names of a machine's own don't matter. */
export interface KernelState {
  /** `ip -N -j -d link show`; without `-d`, bounds of the MTU are guessed. */
  link: unknown
  /** `ip -N -j address show` */
  address: unknown
  /** `ip -N -j route show table all` */
  route: unknown
  /** `ip -N -j nexthop show`; if absent, routes that name a nexthop object have hops of their own. */
  nexthop?: unknown
  /** `ip -N -j -d rule show`; without `-d`, which rules are the kernel's own is guessed. */
  rule: unknown
  /** `sysctl -a`, its text or its values by name; the defaults of a new network namespace if absent. */
  sysctl?: string | Readonly<Record<string, string | number>>
  /** `ip -N -j route get 127.0.0.1`: it shows whether a rule was ever added. If absent: whether one is there. */
  routeGet?: unknown
  /** Names in /etc/iproute2, where the output has names: `{ tables: { vpn: 100 } }`. */
  names?: KernelNames
}

export interface KernelStack {
  stack: Stack
  /** What the stack was made from, to be kept: `stackFromJson` makes the stack again. */
  configuration: StackConfiguration
  skipped: SkippedPart[]
}

/**
 * A stack with the machine's configuration; close it as any other.
 * @throws ConfigurationError for what is no output of `ip -j`
 */
export function fromKernel(state: KernelState, options: StackOptions = {}): KernelStack {
  const skips = new Skips()
  const names = namesOf(state.names ?? {})
  const unplugged = unpluggedDevices(state.route)
  const links = readLinks(state.link, names, skips).map((link) =>
    !link.up && unplugged.has(link.name) ? { ...link, carrier: false } : link,
  )
  const addresses = readAddresses(state.address, links, names, skips)
  const nexthops = readNexthops(state.nexthop, links, names, skips)
  const routes = readRoutes(state.route, { links, addresses, nexthops, names, skips })
  const rules = readRules(state.rule, names, skips)
  const tables = new Set<number>(routes.map(({ table }) => table))
  const model: ConfigurationModel = {
    links,
    addresses,
    tables: [...tables],
    nexthops,
    routes,
    rules,
    rulesTouched: rulesTouched(state.routeGet, rules),
    localRoutesTouched: routes.some(byHand),
    sysctls: readSettings(state.sysctl, links, skips),
  }
  const stack = standIn(model, options)
  try {
    restore(stack, model, (refusal) => {
      const index = Number(/^routes\[(\d+)\]$/.exec(refusal.path)?.[1] ?? -1)
      skips.add(refusal.path, `refused: ${refusalText(refusal)}`, routes[index] as RouteModel | undefined)
    })
  } catch (error) {
    void stack.close()
    throw error
  }
  return { stack, configuration: encode(snapshot(stack)), skipped: skips.list }
}

/** Not one of those that addresses make. */
function byHand({ type, protocol }: RouteModel): boolean {
  return type === RouteType.LOCAL && protocol !== RouteProtocol.KERNEL
}

/** Only with a rule are the local table's answers given with its name. */
function rulesTouched(routeGet: unknown, rules: ConfigurationModel['rules']): boolean {
  if (Array.isArray(routeGet) && routeGet.length > 0) return 'table' in (routeGet[0] as object)
  return rules.map(ruleIdentity).join() !== FIRST_RULES.map(ruleIdentity).join()
}
