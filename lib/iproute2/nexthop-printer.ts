/**
 * How `ip nexthop` prints an object, and how a route with `-d` prints the one that it names: number, members or
 * gateway and device, scope, `blackhole`, protocol, flags.
 */
import { formatIpv4, type Ipv4Address } from '../address/ipv4-address.ts'
import type { NetDevice } from '../device/net-device.ts'
import type { NexthopObject } from '../route/nexthop-object.ts'
import { RouteProtocol, Scope } from '../route/rtnetlink.ts'
import type { Command } from './command.ts'
import { protocols, scopes } from './names.ts'
import type { Printer } from './printer.ts'
import { printFlags } from './route-flags.ts'

/** An object as the kernel reports it (`struct nhmsg` and its attributes). */
export interface NexthopObjectMessage {
  readonly id: number
  /** `null` if it is no group. */
  readonly group: readonly { readonly id: number; readonly weight: number }[] | null
  /** 0: none */
  readonly gateway: Ipv4Address
  readonly device: NetDevice | null
  readonly scope: number
  readonly blackhole: boolean
  readonly protocol: number
  readonly flags: number
}

export function objectMessage({
  id,
  members,
  hops,
  blackhole,
  protocol,
  flags,
}: NexthopObject): NexthopObjectMessage {
  const group = members?.map(({ object, weight }) => ({ id: object.id, weight })) ?? null
  const hop = group === null && !blackhole ? hops[0]! : undefined
  return {
    id,
    group,
    gateway: hop?.gateway ?? 0,
    device: hop?.device ?? null,
    scope: hop?.scope ?? Scope.UNIVERSE,
    blackhole,
    protocol,
    flags,
  }
}

/** @param name of the member of an object that it is in, if it is in one */
export function printNexthopObject(
  printer: Printer,
  { options: { details, numeric } }: Command,
  message: NexthopObjectMessage,
  name?: string,
): void {
  const { id, group, gateway, device, scope, protocol } = message
  printer.openObject(name)
  printer.field('id', id, `id ${id} `)
  if (group !== null) printGroup(printer, group)
  if (gateway !== 0) printer.field('gateway', formatIpv4(gateway), `via ${formatIpv4(gateway)} `)
  if (device !== null) printer.field('dev', device.name, `dev ${device.name} `)
  if (scope !== Scope.UNIVERSE || details) {
    const text = scopes.format(scope, numeric)
    printer.field('scope', text, `scope ${text} `)
  }
  if (message.blackhole) printer.field('blackhole', null, 'blackhole ')
  if (protocol !== RouteProtocol.UNSPEC || details) {
    const text = protocols.format(protocol, numeric)
    printer.field('protocol', text, `proto ${text} `)
  }
  printFlags(printer, message.flags)
  printer.closeObject()
}

function printGroup(printer: Printer, group: NonNullable<NexthopObjectMessage['group']>): void {
  printer.text('group ')
  printer.openArray('group')
  for (const [index, { id, weight }] of group.entries()) {
    printer.openObject()
    printer.field('id', id, `${index > 0 ? '/' : ''}${id}`)
    if (weight !== 1) printer.field('weight', weight, `,${weight}`)
    printer.closeObject()
  }
  printer.text(' ')
  printer.closeArray()
}
