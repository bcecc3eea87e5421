/**
 * ICMP messages in the words of tcpdump.
 */
import { formatIpv4, readIpv4 } from '../address/ipv4-address.ts'
import { DropReason } from './drop-reason.ts'
import {
  decodeIcmpv4,
  ICMP_HEADER,
  type Icmpv4Message,
  ParameterProblemCode,
  RedirectCode,
  TimeExceededCode,
  UnreachableCode,
} from './icmpv4.ts'
import {
  checkIpv4Lengths,
  IPV4_DESTINATION,
  IPV4_MIN_HEADER,
  IPV4_PROTOCOL,
  IpProtocol,
} from './ipv4-header.ts'

/** Texts for the codes of Destination Unreachable; `%` is the destination of the quoted packet. */
const unreachable: Record<number, string> = {
  [UnreachableCode.NET]: 'net % unreachable',
  [UnreachableCode.HOST]: 'host % unreachable',
  [UnreachableCode.SOURCE_ROUTE_FAILED]: '% unreachable - source route failed',
  [UnreachableCode.NET_UNKNOWN]: 'net % unreachable - unknown',
  [UnreachableCode.HOST_UNKNOWN]: 'host % unreachable - unknown',
  [UnreachableCode.HOST_ISOLATED]: '% unreachable - source host isolated',
  [UnreachableCode.NET_PROHIBITED]: 'net % unreachable - admin prohibited',
  [UnreachableCode.HOST_PROHIBITED]: 'host % unreachable - admin prohibited',
  [UnreachableCode.NET_TOS]: 'net % unreachable - tos prohibited',
  [UnreachableCode.HOST_TOS]: 'host % unreachable - tos prohibited',
  [UnreachableCode.PACKET_FILTERED]: 'host % unreachable - admin prohibited filter',
  [UnreachableCode.PRECEDENCE_VIOLATION]: 'host % unreachable - host precedence violation',
  [UnreachableCode.PRECEDENCE_CUTOFF]: 'host % unreachable - precedence cutoff',
}

const redirects: Record<number, string> = {
  [RedirectCode.NET]: 'redirect % to net',
  [RedirectCode.HOST]: 'redirect % to host',
  [RedirectCode.NET_TOS]: 'redirect-tos % to net',
  [RedirectCode.HOST_TOS]: 'redirect-tos % to host',
}

/**
 * `echo request, id 1, seq 1, length 64`. `claimed` is the length of the IP body, which may be more than is there.
 * Of a quoted packet its destination, protocol and port are printed and nothing that it may quote in turn, so that
 * nesting costs nothing.
 */
export function formatIcmpv4(bytes: Uint8Array, start: number, end: number, claimed: number): string {
  if (end - start < ICMP_HEADER) return '[|icmp]'
  const message = decodeIcmpv4(bytes, start, end)
  if ('quote' in message && checkIpv4Lengths(message.quote, 0, message.quote.length) !== DropReason.NONE) {
    return `${message.kind} [|icmp], length ${claimed}`
  }
  return `${formatMessage(message)}, length ${claimed}`
}

function formatMessage(message: Icmpv4Message): string {
  switch (message.kind) {
    case 'echo-request':
      return `echo request, id ${message.id}, seq ${message.sequence}`
    case 'echo-reply':
      return `echo reply, id ${message.id}, seq ${message.sequence}`
    case 'dest-unreach':
      return formatUnreachable(message.code, message.mtu, message.quote)
    case 'source-quench':
      return 'source quench'
    case 'redirect': {
      const text = redirects[message.code] ?? `redirect-#${message.code} % to`
      return `${text.replace('%', quotedDestination(message.quote))} ${formatIpv4(message.gateway)}`
    }
    case 'time-exceeded':
      if (message.code === TimeExceededCode.TTL) return 'time exceeded in-transit'
      if (message.code === TimeExceededCode.REASSEMBLY) return 'ip reassembly time exceeded'
      return `time exceeded-#${message.code}`
    case 'parameter-problem':
      if (message.code !== ParameterProblemCode.POINTER) return `parameter problem - code ${message.code}`
      return `parameter problem - octet ${message.pointer}`
    case 'timestamp-request':
      return `time stamp query id ${message.id} seq ${message.sequence}`
    case 'timestamp-reply': {
      const { originate, receive, transmit } = message
      const times = `org ${timeOfDay(originate)}, recv ${timeOfDay(receive)}, xmit ${timeOfDay(transmit)}`
      return `time stamp reply id ${message.id} seq ${message.sequence}: ${times}`
    }
    case 'info-request':
      return 'information request'
    case 'info-reply':
      return 'information reply'
    case 'address-mask-request':
      return 'address mask request'
    case 'address-mask-reply':
      return `address mask is 0x${(message.mask >>> 0).toString(16).padStart(8, '0')}`
    case 'router-solicitation':
      return 'router solicitation'
    case 'router-advertisement': {
      const routers = message.routers.map((r) => ` {${formatIpv4(r.address)} ${r.preference >>> 0}}`)
      const head = `router advertisement lifetime ${duration(message.lifetime)} ${routers.length}:`
      return head + routers.join('')
    }
    case 'other':
      return `type-#${message.type}`
  }
}

function formatUnreachable(code: number, mtu: number, quote: Uint8Array): string {
  const destination = quotedDestination(quote)
  switch (code) {
    case UnreachableCode.PROTOCOL:
      return `${destination} protocol ${quote[IPV4_PROTOCOL]} unreachable`
    case UnreachableCode.PORT: {
      const protocol = quote[IPV4_PROTOCOL]!
      const body = (quote[0]! & 15) << 2
      if (quote.length < body + 4) return `${destination} port unreachable`
      const port = (quote[body + 2]! << 8) | quote[body + 3]!
      if (protocol === IpProtocol.TCP) return `${destination} tcp port ${port} unreachable`
      if (protocol === IpProtocol.UDP) return `${destination} udp port ${port} unreachable`
      return `${destination} protocol ${protocol} port ${port} unreachable`
    }
    case UnreachableCode.FRAG_NEEDED:
      return `${destination} unreachable - need to frag${mtu === 0 ? '' : ` (mtu ${mtu})`}`
    default:
      return (unreachable[code] ?? `% unreachable - #${code}`).replace('%', destination)
  }
}

function quotedDestination(quote: Uint8Array): string {
  return quote.length < IPV4_MIN_HEADER ? '[|ip]' : formatIpv4(readIpv4(quote, IPV4_DESTINATION))
}

function two(n: number): string {
  return String(n).padStart(2, '0')
}

/** `03:29:20.012`. */
function timeOfDay(ms: number): string {
  const s = Math.floor(ms / 1000)
  const fraction = String(ms % 1000).padStart(3, '0')
  return `${two(Math.floor(s / 3600))}:${two(Math.floor((s % 3600) / 60))}:${two(s % 60)}.${fraction}`
}

/** Seconds: `30`, `30:00`, `2:17:02`. */
function duration(s: number): string {
  if (s < 60) return String(s)
  if (s < 3600) return `${Math.floor(s / 60)}:${two(s % 60)}`
  return `${Math.floor(s / 3600)}:${two(Math.floor((s % 3600) / 60))}:${two(s % 60)}`
}
