/**
 * IPv4 packets: the header (all of `ipv4-header.ts`) and, on top of the headers above IP, the printer.
 */
import { formatIpv4 } from '../address/ipv4-address.ts'
import { formatIcmpv4 } from './icmpv4-format.ts'
import { checkIpv4Lengths, IpProtocol, type Ipv4Header, parseQuotedIpv4Header } from './ipv4-header.ts'
import { formatTcp } from './tcp.ts'
import { formatUdp } from './udp.ts'

export * from './ipv4-header.ts'

/**
 * The packet in one line, as `tcpdump -n -S` prints it without the time:
 * `IP 10.0.0.1 > 10.0.0.2: ICMP echo request, id 1, seq 1, length 64`. Any bytes give a text.
 */
export function formatIpv4Packet(bytes: Uint8Array, start: number, end: number): string {
  const length = end - start
  if (length < 1) return 'IP [|ip]'
  const version = bytes[start]! >>> 4
  if (version === 6) return 'IP6'
  if (version !== 4) return `IP [version ${version}]`
  if (checkIpv4Lengths(bytes, start, end) !== 0) return `IP [|ip] (${length} bytes)`
  const header = parseQuotedIpv4Header(bytes, start, end) as Ipv4Header
  const from = formatIpv4(header.source)
  const to = formatIpv4(header.destination)
  const claimed = header.totalLength - header.headerLength
  if (claimed < 0) return `IP ${from} > ${to}: [total length ${header.totalLength} < header]`
  if (header.fragmentOffset !== 0) return `IP ${from} > ${to}: ip-proto-${header.protocol}`

  const body = start + header.headerLength
  const stop = Math.min(end, body + claimed)
  switch (header.protocol) {
    case IpProtocol.ICMP:
      return `IP ${from} > ${to}: ICMP ${formatIcmpv4(bytes, body, stop, claimed)}`
    case IpProtocol.UDP:
      return `IP ${formatUdp(bytes, body, stop, from, to, header.moreFragments ? -1 : claimed)}`
    case IpProtocol.TCP:
      return `IP ${formatTcp(bytes, body, stop, from, to, claimed)}`
    default:
      return `IP ${from} > ${to}:  ip-proto-${header.protocol} ${claimed}`
  }
}
