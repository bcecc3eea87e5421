/** Addresses as Node's C++ layer takes them: text, or whatever becomes text. */
import { isIPv4 } from 'node:net'
import { type Ipv4Address, parseIpv4 } from '../../address/ipv4-address.ts'

/** `null` if it is no IPv4 address. */
export function parseAddress(text: unknown): Ipv4Address | null {
  const address = String(text)
  return isIPv4(address) ? parseIpv4(address) : null
}
