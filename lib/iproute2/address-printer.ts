/** How `ip address` prints an address. */
import { formatIpv4 } from '../address/ipv4-address.ts'
import { FOREVER, type InetAddress } from '../route/inet-address.ts'
import { type Command, lineEnd } from './command.ts'
import { scopes } from './names.ts'

function prefixText(address: InetAddress): string {
  const { local, address: peer, prefixLength, metric } = address
  const network = peer === local ? '' : ` peer ${formatIpv4(peer)}`
  const text = `${formatIpv4(local)}${network}/${prefixLength} `
  return metric === 0 ? text : `${text}metric ${metric >>> 0} `
}

/** @param now nanoseconds, from which lifetimes are counted */
export function formatAddress(command: Command, address: InetAddress, now: number): string {
  const { options } = command
  const { device } = address
  let text = options.oneline ? `${device.ifindex}: ${device.name}` : ''
  text += `    inet ${prefixText(address)}`
  if (address.broadcast !== 0) text += `brd ${formatIpv4(address.broadcast)} `
  text += `scope ${scopes.format(address.scope, options.numeric)} `
  if (address.secondary) text += 'secondary '
  if (address.deprecated) text += 'deprecated '
  if (!address.permanent) text += 'dynamic '
  if (address.noprefixroute) text += 'noprefixroute '
  const { valid, preferred } = address.remaining(now)
  const times = `valid_lft ${lifetimeText(valid)} preferred_lft ${lifetimeText(preferred)}`
  return `${text}${address.label}${lineEnd(command)}       ${times}\n`
}

export function formatAddressBrief(address: InetAddress): string {
  return prefixText(address)
}

function lifetimeText(seconds: number): string {
  return seconds === FOREVER ? 'forever' : `${seconds}sec`
}
