/** Names and numbers in the output of `ip -j`: numbers with `-N`, else the names of /etc/iproute2 where it has any. */
import {
  dsfields,
  groups,
  type NameTable,
  parseIpProtocol,
  parseRouteType,
  protocols,
  realmNames,
  scopes,
  tables,
} from '../iproute2/names.ts'

/** Names that a machine has besides the usual ones, by the file that they are in. */
export interface KernelNames {
  tables?: Readonly<Record<string, number>>
  protocols?: Readonly<Record<string, number>>
  scopes?: Readonly<Record<string, number>>
  realms?: Readonly<Record<string, number>>
  dsfields?: Readonly<Record<string, number>>
  groups?: Readonly<Record<string, number>>
}

type Kind = keyof KernelNames

const USUAL: Readonly<Record<Kind, NameTable>> = {
  tables,
  protocols,
  scopes,
  realms: realmNames,
  dsfields,
  groups,
}

export interface NameLookup {
  /** `undefined` for a name that nobody knows. */
  number(kind: Kind, value: unknown): number | undefined
  routeType(value: unknown): number | undefined
  ipProtocol(value: unknown): number | undefined
}

export function namesOf(own: KernelNames): NameLookup {
  return {
    number(kind, value) {
      if (typeof value === 'number') return value
      if (typeof value !== 'string') return undefined
      const names = own[kind] ?? {}
      return Object.hasOwn(names, value) ? names[value] : USUAL[kind].parse(value)
    },
    routeType: (value) => (typeof value === 'string' ? parseRouteType(value) : undefined),
    ipProtocol(value) {
      if (typeof value === 'number') return value
      if (typeof value !== 'string') return undefined
      return parseIpProtocol(value.replace(/^ipproto-(?=\d+$)/, ''))
    },
  }
}
