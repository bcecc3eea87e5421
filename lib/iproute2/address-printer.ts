/** How `ip address` prints an address. */
import { formatIpv4 } from '../address/ipv4-address.ts'
import { AddressFlag, FOREVER, type InetAddress } from '../route/inet-address.ts'
import { type Command, lineEnd } from './command.ts'
import { scopes } from './names.ts'
import type { Printer } from './printer.ts'

function printPrefix(printer: Printer, address: InetAddress): void {
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
  address: InetAddress,
  now: number,
  named = command.options.oneline,
): void {
  const { numeric } = command.options
  const { device } = address
  printer.openObject()
  if (named) {
    printer.field('index', device.ifindex, `${device.ifindex}: `)
    printer.field('dev', device.name, device.name)
  }
  printer.field('family', 'inet', '    inet ')
  printPrefix(printer, address)
  if (address.broadcast !== 0) {
    printer.field('broadcast', formatIpv4(address.broadcast), `brd ${formatIpv4(address.broadcast)} `)
  }
  const scope = scopes.format(address.scope, numeric)
  printer.field('scope', scope, `scope ${scope} `)
  const flag = (name: string): void => printer.field(name, true, `${name} `)
  if (address.secondary) flag('secondary')
  if (address.deprecated) flag('deprecated')
  if (!address.permanent) flag('dynamic')
  if (address.noprefixroute) flag('noprefixroute')
  if ((address.flags & AddressFlag.AUTOJOIN) !== 0) flag('autojoin')
  printer.field('label', address.label, address.label)
  const { valid, preferred } = address.remaining(now)
  printer.text(`${lineEnd(command)}       `)
  printer.field('valid_life_time', valid, `valid_lft ${lifetimeText(valid)} `)
  printer.field('preferred_life_time', preferred, `preferred_lft ${lifetimeText(preferred)}\n`)
  printer.closeObject()
}

export function printAddressBrief(printer: Printer, address: InetAddress): void {
  printer.openObject()
  printPrefix(printer, address)
  printer.closeObject()
}

function lifetimeText(seconds: number): string {
  return seconds === FOREVER ? 'forever' : `${seconds}sec`
}
