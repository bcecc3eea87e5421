/** What a program may ask of a UDP socket, checked; and what it gets. */
import { invalidArgument } from '../errors.ts'

/** `IP_MTU_DISCOVER`: whether datagrams may be fragmented (DF), and which MTU counts. */
export type UdpPathMtuDiscovery = 'want' | 'dont' | 'do' | 'probe' | 'interface' | 'omit'

/** Somebody's address and port. */
export interface UdpAddress {
  address: string
  port: number
}

/** A datagram that arrived. */
export interface UdpMessage {
  data: Uint8Array<ArrayBuffer>
  /** Who sent it. */
  address: string
  port: number
  /** The address that it was sent to: answer from there. */
  to: string
  /** Name of the interface that it came by; `''` if that is gone. */
  device: string
  ttl: number
  tos: number
  /** Of a socket with `gro`: it is several datagrams of so many bytes, the last may be shorter. */
  segmentSize?: number
}

/** An ICMP error about a datagram that the socket sent. */
export interface UdpErrorReport {
  /** Linux's errno for it: `'ECONNREFUSED'`, `'EHOSTUNREACH'`, `'EMSGSIZE'`. */
  code: string
  /** Where the datagram was sent to. */
  address: string
  port: number
  /** Who says so. */
  reporter: string
  /** Type and code of the error, and the next-hop MTU or pointer that it names. */
  icmp: { type: number; code: number; info: number }
  /** Linux would fail the next call of a connected socket. */
  fatal: boolean
}

/** Options that hold for one datagram, and if given when the socket is bound for all. */
export interface UdpSendOptions {
  /** An address of this host to send from (`IP_PKTINFO`). */
  source?: string
  /** Name of a device to send by (`IP_PKTINFO`). */
  device?: string
  /** 0…255. */
  tos?: number
  /** 1…255; for groups too. */
  ttl?: number
  /** Cuts what is sent into datagrams of so many bytes, the last may be shorter (`UDP_SEGMENT`). */
  segmentSize?: number
}

/** Which membership is meant. */
export interface UdpGroupOptions {
  /** Name of a device; the one that the routes say if absent. */
  device?: string
  /** Only what this address sends to the group (`IP_ADD_SOURCE_MEMBERSHIP`). */
  source?: string
}

/** What of `AbortSignal` is used; any runtime's will do. */
export interface UdpAbortSignal {
  readonly aborted: boolean
  readonly reason?: unknown
  addEventListener(type: 'abort', listener: () => void, options?: { once?: boolean }): void
  removeEventListener(type: 'abort', listener: () => void): void
}

export interface UdpBindOptions {
  /** An address of this host, a group, or a broadcast address; any if absent. */
  address?: string
  /** 0 or absent: an unused one is picked (RFC 6056). */
  port?: number
  /** Name of a device that datagrams must come and leave by (`SO_BINDTODEVICE`). */
  device?: string
  /** `SO_REUSEADDR`: the port may be shared with others that say so too; the latest gets the datagrams. */
  reuseAddress?: boolean
  /** `SO_REUSEPORT`: the port may be shared with others that say so too; datagrams are spread by flow. */
  reusePort?: boolean
  /** `SO_BROADCAST`: broadcast addresses may be sent to. */
  broadcast?: boolean
  /** 1…255; the route's or `ip_default_ttl` by default. */
  ttl?: number
  tos?: number
  /** `fwmark` of what is sent. */
  mark?: number
  /** `IP_MULTICAST_TTL`, 0…255; 1 by default (RFC 1112 §6.1). */
  multicastTtl?: number
  /** `IP_MULTICAST_LOOP`: members on this host get what is sent to a group; `true` by default. */
  multicastLoop?: boolean
  /** `IP_MULTICAST_IF`: name of the device that groups are sent to by; the routes decide by default. */
  multicastDevice?: string
  /** `IP_MULTICAST_ALL`: also what came for a group that only others of this host have joined; `true` by default. */
  multicastAll?: boolean
  /** `'want'` by default; `'dont'` where `net.ipv4.ip_no_pmtu_disc` is on. */
  pathMtuDiscovery?: UdpPathMtuDiscovery
  /** `IP_RECVERR`: errors are kept for `readError()`, and each fails the next call, connected or not. */
  receiveErrors?: boolean
  /** Bytes that may wait to be read, 256 charged per datagram besides its own; `net.core.rmem_default` if absent. */
  receiveBuffer?: number
  /** `UDP_GRO`: datagrams of one sender and size may come as one message, which has a `segmentSize`. */
  gro?: boolean
  /** As in {@link UdpSendOptions}, for all that is sent. */
  segmentSize?: number
  /** Called for each datagram, outside of packet processing; then there is nothing to be received otherwise. */
  onMessage?: (message: UdpMessage) => void
  /** Called for each ICMP error about what was sent, also those that do no harm. */
  onError?: (error: UdpErrorReport) => void
  /** Closes the socket when it aborts. */
  signal?: UdpAbortSignal
}

const PATH_MTU_DISCOVERY: readonly UdpPathMtuDiscovery[] = [
  'want',
  'dont',
  'do',
  'probe',
  'interface',
  'omit',
]

const MAX_BUFFER = 0x7fffffff

/** @throws TunstackError `ERR_INVALID_ARG_VALUE` */
export function checkBindOptions(options: UdpBindOptions): void {
  if (typeof options !== 'object' || options === null) {
    throw invalidArgument('options', options, 'an object such as { port: 53 }')
  }
  number('port', options.port, 0, 0xffff)
  number('ttl', options.ttl, 1, 255)
  number('tos', options.tos, 0, 255)
  number('mark', options.mark, 0, 0xffffffff)
  number('multicastTtl', options.multicastTtl, 0, 255)
  number('segmentSize', options.segmentSize, 1, 0xffff)
  checkReceiveBuffer(options.receiveBuffer)
  for (const name of ['onMessage', 'onError'] as const) {
    if (options[name] !== undefined && typeof options[name] !== 'function') {
      throw invalidArgument(name, options[name], 'a function')
    }
  }
  for (const name of [
    'reuseAddress',
    'reusePort',
    'broadcast',
    'multicastLoop',
    'multicastAll',
    'receiveErrors',
    'gro',
  ] as const) {
    if (options[name] !== undefined && typeof options[name] !== 'boolean') {
      throw invalidArgument(name, options[name], 'true or false')
    }
  }
  checkDiscovery(options.pathMtuDiscovery)
  checkSignal(options.signal)
}

/** @throws TunstackError `ERR_INVALID_ARG_VALUE` */
export function checkReceiveBuffer(bytes: number | undefined): void {
  number('receiveBuffer', bytes, 1, MAX_BUFFER)
}

/** @throws TunstackError `ERR_INVALID_ARG_VALUE` */
export function checkSendOptions({ tos, ttl, segmentSize }: UdpSendOptions): void {
  number('tos', tos, 0, 255)
  number('ttl', ttl, 1, 255)
  number('segmentSize', segmentSize, 1, 0xffff)
}

/** @throws TunstackError `ERR_INVALID_ARG_VALUE` */
export function checkDiscovery(discovery: UdpPathMtuDiscovery | undefined): void {
  if (discovery === undefined || PATH_MTU_DISCOVERY.includes(discovery)) return
  throw invalidArgument('pathMtuDiscovery', discovery, `one of ${PATH_MTU_DISCOVERY.join(', ')}`)
}

/** @throws TunstackError `ERR_INVALID_ARG_VALUE` */
export function checkSignal(signal: UdpAbortSignal | undefined): void {
  if (signal === undefined || typeof signal?.addEventListener === 'function') return
  throw invalidArgument('signal', signal, 'an AbortSignal')
}

function number(name: string, value: number | undefined, low: number, high: number): void {
  if (value === undefined || (Number.isInteger(value) && value >= low && value <= high)) return
  throw invalidArgument(name, value, `${low}…${high}`)
}
