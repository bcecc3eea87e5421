/**
 * `node:dns` over a stack: names of a hosts table, and of DNS servers that are asked through the stack. Resolvers are
 * Node's own, with a channel of ours; `lookup` is a function of ours, since Node's asks the C library.
 */
import dns, { type LookupAddress } from 'node:dns'
import { isIP, isIPv4, SocketAddress } from 'node:net'
import { invalidArgument } from '../../errors.ts'
import { withMembers } from '../net/derive.ts'
import type { LookupFunction } from '../net/lookup.ts'
import { DnsChannel, type DnsChannelContext } from './dns-channel.ts'
import type { DnsFailure, DnsServer } from './dns-client.ts'

type Dns = typeof dns
type Callback = (...args: unknown[]) => unknown

const DNS_PORT = 53

// Node's own, from before anything was replaced.
const { lookup: nodeLookup } = dns

/** `getaddrinfo`'s, as libuv numbers them. */
const EAI_AGAIN = { code: 'EAI_AGAIN', errno: -3001 }
const EAI_NONAME = { code: 'ENOTFOUND', errno: -3008 }

/** @param text an address, with `:port` or without @throws TunstackError `ERR_INVALID_ARG_VALUE` */
export function parseServer(text: string): DnsServer {
  const [, address = text, port] = /^([\d.]+)(?::(\d{1,5}))?$/.exec(text) ?? []
  if (!isIPv4(address) || Number(port ?? 0) > 0xffff) {
    throw invalidArgument('a DNS server', text, 'an IPv4 address, with :port or without')
  }
  return { address, port: Number(port ?? DNS_PORT) }
}

/** `dns.lookup` over hosts and servers. */
export function createLookup(context: DnsChannelContext, servers: readonly DnsServer[]): LookupFunction {
  const channel = new DnsChannel(context, servers)
  return (hostname, options, callback) => {
    const given =
      (typeof options === 'function' ? {} : typeof options === 'number' ? { family: options } : options) ?? {}
    const done = (typeof options === 'function' ? options : callback) as typeof callback
    // Node says what is wrong with the arguments; for an address it asks nobody, and for no name neither.
    const literal = isIP(hostname) !== 0 || !hostname
    const checked = typeof hostname === 'string' && !literal ? '127.0.0.1' : hostname
    if (literal || typeof done !== 'function') return nodeLookup(checked, given, done as never)
    nodeLookup(checked, given, () => {})
    const family =
      given.family === 'IPv4' ? 4 : given.family === 'IPv6' ? 6 : ((given.family ?? 0) as 0 | 4 | 6)
    const told = (found: LookupAddress[] | typeof EAI_AGAIN): void => {
      if (!Array.isArray(found)) {
        const error = new Error(`getaddrinfo ${found.code} ${hostname}`)
        return done(Object.assign(error, found, { syscall: 'getaddrinfo', hostname }), undefined as never)
      }
      const { address, family: of } = found[0]!
      if (given.all === true) done(null, found)
      else done(null, address, of)
    }
    context.turns.calling()
    // Never sooner than a thread of the pool would say it.
    void find(context, channel, hostname, family).then((found) => context.turns.later(() => told(found)))
  }
}

/** What the name has, or why not. Where any family will do it is IPv4: the stack has no other. */
async function find(
  { hosts }: DnsChannelContext,
  channel: DnsChannel,
  name: string,
  family: 0 | 4 | 6,
): Promise<LookupAddress[] | typeof EAI_AGAIN> {
  const known = hosts.addresses(name, family === 0 ? 4 : family)
  if (known.length > 0) return known.map((address) => ({ address, family: isIP(address) }))
  if (channel.getServers().length === 0) return EAI_NONAME
  try {
    const found = await channel.find(name, family === 6 ? 'AAAA' : 'A')
    return found.map(({ data }) => ({ address: String(data), family: family === 6 ? 6 : 4 }))
  } catch (error) {
    const { code } = error as DnsFailure
    return code === 'ENOTFOUND' || code === 'ENODATA' || code === 'EBADNAME' ? EAI_NONAME : EAI_AGAIN
  }
}

interface ResolverOptions {
  timeout?: number
  tries?: number
}

/** `node:dns` with resolvers and lookups of a stack. */
export function createDns(
  context: DnsChannelContext,
  servers: readonly DnsServer[],
  lookup: LookupFunction,
): Dns {
  let shared = servers
  const resolverOf = (base: unknown): (new (options?: ResolverOptions) => object) => {
    class Resolver extends (base as new (options?: ResolverOptions) => { _handle: unknown }) {
      constructor(options?: ResolverOptions) {
        super(options)
        this._handle = new DnsChannel(context, shared, options?.timeout, options?.tries)
      }
    }
    return Resolver
  }
  const lookupService = createLookupService(context, () => new (resolverOf(dns.Resolver))() as dns.Resolver)
  const Resolver = resolverOf(dns.Resolver)
  const PromisesResolver = resolverOf(dns.promises.Resolver)
  const [resolver, later] = [new Resolver(), new PromisesResolver()] as [object, object]
  const setServers = (list: readonly string[]): void => {
    for (const each of [resolver, later] as dns.Resolver[]) each.setServers(list)
    shared = (later as unknown as { _handle: DnsChannel })._handle
      .getServers()
      .map(([address, port]) => ({ address, port }))
  }
  const promises = withMembers(dns.promises, {
    ...queries(dns.promises, later),
    Resolver: PromisesResolver,
    setServers,
    lookup: (hostname: string, options?: dns.LookupOptions) =>
      new Promise((resolve, reject) => {
        lookup(hostname, options ?? {}, (error, address, family) => {
          if (error) reject(error)
          else resolve(options?.all === true ? address : { address, family })
        })
      }),
    lookupService: (address: string, port: number) =>
      new Promise((resolve, reject) => {
        lookupService(address, port, (error, hostname, service) => {
          if (error) reject(error)
          else resolve({ hostname, service })
        })
      }),
  })
  return withMembers(dns, {
    ...queries(dns, resolver),
    Resolver,
    setServers,
    lookup,
    lookupService,
    promises,
  })
}

/** `resolve4` and its like of the module, as a resolver does them. */
function queries(module: object, resolver: object): Record<string, unknown> {
  const names = Object.keys(module).filter((name) => /^(resolve|reverse|getServers)/.test(name))
  return Object.fromEntries(
    names.map((name) => [name, (resolver as Record<string, Callback>)[name]!.bind(resolver)]),
  )
}

type ServiceCallback = (error: Error | null, hostname?: string, service?: string) => void

/** The name of an address; the port stands for its service, whose names are the machine's. */
function createLookupService({ hosts }: DnsChannelContext, makeResolver: () => dns.Resolver) {
  return (address: string, port: number, callback: ServiceCallback): void => {
    // Throws what Node throws for arguments that are wrong.
    new SocketAddress({ address, port, family: isIP(address) === 6 ? 'ipv6' : 'ipv4' })
    if (typeof callback !== 'function') throw invalidArgument('callback', callback, 'a function')
    const [known] = hosts.names(address)
    if (known !== undefined) return process.nextTick(callback, null, known, String(port))
    makeResolver().reverse(address, (error, names) =>
      callback(null, error ? address : names[0], String(port)),
    )
  }
}
