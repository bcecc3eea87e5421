/**
 * Names of a stack that has no resolver: `localhost` and addresses; whatever else is asked for is not found, as
 * `getaddrinfo` says it.
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

/** @internal */
export const lookupLocal: LookupFunction = (hostname, options, callback) => {
  // Node says what is wrong with the arguments; for an address it asks nobody.
  lookup(typeof hostname === 'string' ? '127.0.0.1' : hostname, options, () => {})
  const family = familyOf(options.family)
  const address = literal(hostname, family)
  setImmediate(() => {
    if (address === null) return callback(notFound(hostname), '')
    const found = { address, family: isIP(address) }
    if (options.all === true) callback(null, [found])
    else callback(null, found.address, found.family)
  })
}

function literal(hostname: string, family: number): string | null {
  if (isIP(hostname) !== 0) return hostname
  if (!/^localhost\.?$/i.test(hostname)) return null
  return family === 6 ? '::1' : '127.0.0.1'
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
