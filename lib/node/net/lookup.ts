/**
 * Names of a stack that has no resolver: `localhost`, addresses, and a list at most; whatever else is asked for is not
 * found, as `getaddrinfo` says it.
 */
import { type LookupAddress, type LookupOptions, lookup } from 'node:dns'
import { isIP } from 'node:net'

/** As `dns.lookup`; what `lookup` of the options of `connect` takes. */
export type LookupFunction = (
  hostname: string,
  options: LookupOptions,
  callback: (error: NodeJS.ErrnoException | null, address: string | LookupAddress[], family?: number) => void,
) => void

/** `UV_EAI_NONAME`, which Node calls ENOTFOUND. */
const EAI_NONAME = -3008

/**
 * Finds `localhost`, addresses, and what `addressesOf` knows: the IPv4 addresses of a name, in lower case and without
 * a dot at its end.
 * @internal
 */
export function lookupAmong(addressesOf: (name: string) => readonly string[]): LookupFunction {
  return (hostname, options, callback) => {
    // Node says what is wrong with the arguments; for an address it asks nobody.
    lookup(typeof hostname === 'string' ? '127.0.0.1' : hostname, options, () => {})
    const addresses = find(hostname, familyOf(options.family), addressesOf)
    setImmediate(() => {
      const found = addresses.map((address) => ({ address, family: isIP(address) }))
      if (found.length === 0) callback(notFound(hostname), '')
      else if (options.all === true) callback(null, found)
      else callback(null, found[0]!.address, found[0]!.family)
    })
  }
}

/** @internal */
export const lookupLocal: LookupFunction = lookupAmong(() => [])

function find(
  hostname: string,
  family: number,
  addressesOf: (name: string) => readonly string[],
): readonly string[] {
  if (isIP(hostname) !== 0) return [hostname]
  const name = hostname.toLowerCase().replace(/\.$/, '')
  if (name === 'localhost') return [family === 6 ? '::1' : '127.0.0.1']
  return family === 6 ? [] : addressesOf(name)
}

function familyOf(family: LookupOptions['family']): number {
  if (family === 'IPv4') return 4
  if (family === 'IPv6') return 6
  return family ?? 0
}

function notFound(hostname: string): Error {
  return Object.assign(new Error(`getaddrinfo ENOTFOUND ${hostname}`), {
    errno: EAI_NONAME,
    code: 'ENOTFOUND',
    syscall: 'getaddrinfo',
    hostname,
  })
}
