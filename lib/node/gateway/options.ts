/** What a program may ask of a gateway, checked; and what the gateway asks of the program. */
import type { LookupAddress } from 'node:dns'
import { type Ipv4Prefix, parseIpv4, parseIpv4Prefix } from '../../address/ipv4-address.ts'
import { invalidArgument } from '../../errors.ts'

export type GatewayProtocol = 'tcp' | 'udp' | 'icmp'

export interface GatewayEndpoint {
  address: string
  /** 0 for ICMP. */
  port: number
}

/** What a guest asks for: a connection, the first datagram to somebody, or an echo. */
export interface GatewayFlow {
  protocol: GatewayProtocol
  source: GatewayEndpoint
  destination: GatewayEndpoint
  /** The name that a guest has asked the gateway's DNS for last, of those that had this address as the answer. */
  name: string | undefined
  /** All such names, the latest first; many names may share an address. */
  names: readonly string[]
}

/**
 * What becomes of a flow. `'deny'`: refused, as by a host that nobody listens on; `'drop'`: no answer at all;
 * `redirect`: the host connects there instead, and the guest sees no difference. `undefined`: what would be done anyway.
 */
export type GatewayVerdict =
  | 'allow'
  | 'deny'
  | 'drop'
  | { redirect: { address: string; port?: number } }
  | undefined

/** A port of the host that leads to the guest. */
export interface GatewayForward {
  /** `'tcp'` by default. */
  protocol?: 'tcp' | 'udp'
  /** Where the host listens; `'127.0.0.1'` by default. */
  host?: string
  /** 0: one that is free. */
  port: number
  /** {@link GatewayOptions.guest} by default. */
  guestAddress?: string
  guestPort: number
}

export interface GatewayDnsOptions {
  /** Resolvers, `'192.0.2.53'` or `'192.0.2.53:5353'`; by default those of `/etc/resolv.conf`. */
  servers?: readonly string[]
  /** Names with answers of their own: `{ 'api.local': '10.0.2.2' }`; `*.name` is every name below. */
  names?: Readonly<Record<string, string | readonly string[]>>
}

export interface GatewayOptions {
  /** The gateway's own address in the guest's network; `'10.0.2.2/24'` by default. */
  address?: string
  /** The guest's address, for forwards that name none; `'10.0.2.100'` by default, or the first of the network. */
  guest?: string
  /** Of a stack with several devices: the one that guests are behind. */
  device?: string
  /** Bytes, of a stream of packets; of other devices the MTU is theirs. */
  mtu?: number
  /** Decides each flow. What it throws denies. */
  onConnect?: (flow: GatewayFlow) => GatewayVerdict | Promise<GatewayVerdict>
  /** Hears of what is not the guest's business: an `onConnect` that throws, a host that is out of sockets. */
  onError?: (error: unknown) => void
  /** What is sent to the gateway's own address goes to the host's loopback; refused by default. */
  hostLoopback?: boolean
  /** Resolving names at port 53 of the gateway's address; `false`: not at all. */
  dns?: boolean | GatewayDnsOptions
  /** Echo requests to others: by a socket for echoes, else by the program `ping`; `false`: not at all. */
  ping?: boolean
  forwards?: readonly GatewayForward[]
  /** TCP connections at a time, 4096 by default; the next ones are refused. */
  maxConnections?: number
  /** Milliseconds that the host may take to connect, 60 000 by default; then nothing is answered. */
  connectTimeout?: number
  /** Addresses and ports of guests that have a UDP socket of the host, 1024 by default; the one idle longest goes. */
  maxUdpMappings?: number
  /** Milliseconds that such a socket stays while nothing passes, 300 000 by default (RFC 4787 REQ-5). */
  udpTimeout?: number
  /** The same if it has only talked to port 53; 20 000 by default. */
  dnsTimeout?: number
}

/** Options with everything that is left out filled in. */
export interface GatewaySettings {
  readonly prefix: Ipv4Prefix
  readonly guest: string
  readonly onConnect: GatewayOptions['onConnect']
  readonly hostLoopback: boolean
  readonly maxConnections: number
  readonly connectTimeout: number
  readonly maxUdpMappings: number
  readonly udpTimeout: number
  readonly dnsTimeout: number
  /** `null`: there is no DNS. */
  readonly dns: DnsSettings | null
  readonly ping: boolean
  readonly forwards: readonly Required<GatewayForward>[]
}

export interface DnsSettings {
  /** None: those of the host. */
  readonly servers: readonly GatewayEndpoint[]
  /** In lower case, without a dot at the end. */
  readonly names: ReadonlyMap<string, readonly string[]>
}

/** @throws TunstackError `ERR_INVALID_ARG_VALUE` */
export function settingsOf(options: GatewayOptions): GatewaySettings {
  if (typeof options !== 'object' || options === null) {
    throw invalidArgument('options', options, "an object such as { address: '10.0.2.2/24' }")
  }
  const { address = '10.0.2.2/24', onConnect, onError, hostLoopback = false } = options
  const prefix = parseIpv4Prefix(address)
  if (prefix.length > 30)
    throw invalidArgument('address', address, 'an address with the length of its network')
  for (const [name, value] of Object.entries({ onConnect, onError })) {
    if (value !== undefined && typeof value !== 'function') throw invalidArgument(name, value, 'a function')
  }
  const guest = options.guest ?? guestIn(prefix)
  return {
    prefix,
    guest,
    onConnect,
    hostLoopback,
    maxConnections: whole('maxConnections', options.maxConnections ?? 4096, 1, 1 << 20),
    connectTimeout: whole('connectTimeout', options.connectTimeout ?? 60_000, 1, 0x7fffffff),
    maxUdpMappings: whole('maxUdpMappings', options.maxUdpMappings ?? 1024, 1, 60_000),
    udpTimeout: whole('udpTimeout', options.udpTimeout ?? 300_000, 1, 0x7fffffff),
    dnsTimeout: whole('dnsTimeout', options.dnsTimeout ?? 20_000, 1, 0x7fffffff),
    dns: dnsOf(options.dns ?? true),
    ping: options.ping ?? true,
    forwards: (options.forwards ?? []).map((forward) => forwardOf(forward, guest)),
  }
}

function dnsOf(dns: boolean | GatewayDnsOptions): DnsSettings | null {
  if (dns === false) return null
  const { servers = [], names = {} } = dns === true ? {} : dns
  return {
    servers: servers.map((server) => endpointOf('dns.servers', server, 53)),
    names: new Map(
      Object.entries(names).map(([name, found]) => {
        const addresses = typeof found === 'string' ? [found] : found
        for (const address of addresses) parseIpv4(address)
        return [name.toLowerCase().replace(/\.$/, ''), addresses]
      }),
    ),
  }
}

function forwardOf(
  { protocol = 'tcp', host = '127.0.0.1', port, guestAddress, guestPort }: GatewayForward,
  guest: string,
): Required<GatewayForward> {
  if (protocol !== 'tcp' && protocol !== 'udp') throw invalidArgument('protocol', protocol, "'tcp' or 'udp'")
  const address = guestAddress ?? guest
  for (const each of [host, address]) parseIpv4(each)
  return {
    protocol,
    host,
    port: whole('port', port, 0, 0xffff),
    guestAddress: address,
    guestPort: whole('guestPort', guestPort, 1, 0xffff),
  }
}

/** `.100` as in slirp's network, if the network has it; else its first address that is not the gateway's. */
function guestIn({ address, length }: Ipv4Prefix): string {
  const network = address & (-1 << (32 - length))
  const hundred = network + 100
  if (length <= 24 && hundred !== address) return text(hundred)
  return text(network + 1 === address ? network + 2 : network + 1)
}

const text = (address: number): string => [24, 16, 8, 0].map((shift) => (address >>> shift) & 255).join('.')

/** @throws TunstackError `ERR_INVALID_ARG_VALUE` */
export function whole(name: string, value: number, low: number, high: number): number {
  if (!Number.isInteger(value) || value < low || value > high) {
    throw invalidArgument(name, value, `${low}…${high}`)
  }
  return value
}

/** `'192.0.2.53:5353'`, or without a port. @throws TunstackError `ERR_INVALID_ARG_VALUE` */
export function endpointOf(name: string, value: string, defaultPort: number): GatewayEndpoint {
  const match = /^([^:]+)(?::(\d{1,5}))?$/.exec(value)
  if (match === null) throw invalidArgument(name, value, 'an IPv4 address, perhaps with :port')
  parseIpv4(match[1]!)
  const port = match[2] === undefined ? defaultPort : whole('port', Number(match[2]), 1, 0xffff)
  return { address: match[1]!, port }
}

/** The host's sockets are given addresses, never names: nothing is to be looked up, nor put off for it. */
export function noLookup(
  hostname: string,
  options: { all?: boolean | undefined },
  callback: (error: null, address: string | LookupAddress[], family?: number) => void,
): void {
  if (options.all === true) callback(null, [{ address: hostname, family: 4 }])
  else callback(null, hostname, 4)
}
