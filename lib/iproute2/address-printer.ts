/** How `ip address` prints an address. */
import { formatIpv4 } from '../address/ipv4-address.ts'
import { AddressFlag, FOREVER, type InetAddress } from '../route/inet-address.ts'
import { type Command, lineEnd } from './command.ts'
import { scopes } from './names.ts'
import type { Printer } from './printer.ts'

/** What is printed of an address. */
export type PrintableAddress = Pick<
  InetAddress,
  'local' | 'address' | 'prefixLength' | 'metric' | 'broadcast' | 'scope' | 'label' | 'flags' | 'remaining'
> & { readonly device: { readonly name: string; readonly ifindex: number } }

function printPrefix(printer: Printer, address: PrintableAddress): void {
  const { local, address: peer, prefixLength, metric } = address
  printer.field('local', formatIpv4(local), formatIpv4(local))
  // A peer of zeros is not told of.
  if (peer !== local && peer !== 0) printer.field('address', formatIpv4(peer), ` peer ${formatIpv4(peer)}`)
  printer.field('prefixlen', prefixLength, `/${prefixLength} `)
  if (metric !== 0) printer.field('metric', metric >>> 0, `metric ${metric >>> 0} `)
}

/**
 * @param now nanoseconds, from which lifetimes are counted
 * @param named whether the device is named in the same line
 */
export function printAddress(
  printer: Printer,
  command: Command,
  address: PrintableAddress,
  now: number,
  named = command.options.oneline,
): void {
  const { name, ifindex } = address.device
  printer.openObject()
  if (named) {
    printer.field('index', ifindex, `${ifindex}: `)
    printer.field('dev', name, name)
  }
  printAddressFields(printer, command, address, now)
  printer.closeObject()
}

/** The same within an object that is open. */
export function printAddressFields(
  printer: Printer,
  command: Command,
  address: PrintableAddress,
  now: number,
): void {
  const { numeric } = command.options
  const { flags } = address
  printer.field('family', 'inet', '    inet ')
  printPrefix(printer, address)
  if (address.broadcast !== 0) {
    printer.field('broadcast', formatIpv4(address.broadcast), `brd ${formatIpv4(address.broadcast)} `)
  }
  const scope = scopes.format(address.scope, numeric)
  printer.field('scope', scope, `scope ${scope} `)
  const flag = (name: string): void => printer.field(name, true, `${name} `)
  if ((flags & AddressFlag.SECONDARY) !== 0) flag('secondary')
  if ((flags & AddressFlag.DEPRECATED) !== 0) flag('deprecated')
  if ((flags & AddressFlag.PERMANENT) === 0) flag('dynamic')
  if ((flags & AddressFlag.NOPREFIXROUTE) !== 0) flag('noprefixroute')
  if ((flags & AddressFlag.AUTOJOIN) !== 0) flag('autojoin')
  if (address.label !== '') printer.field('label', address.label, address.label)
  const { valid, preferred } = address.remaining(now)
  printer.text(`${lineEnd(command)}       `)
  printer.field('valid_life_time', valid, `valid_lft ${lifetimeText(valid)} `)
  printer.field('preferred_life_time', preferred, `preferred_lft ${lifetimeText(preferred)}\n`)
}

export function printAddressBrief(printer: Printer, address: InetAddress): void {
  printer.openObject()
  printPrefix(printer, address)
  printer.closeObject()
}

function lifetimeText(seconds: number): string {
  return seconds === FOREVER ? 'forever' : `${seconds}sec`
}
