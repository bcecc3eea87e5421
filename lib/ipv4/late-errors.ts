/**
 * Destination Unreachable about a packet that is long gone: who decides late what becomes of it (a gateway that asks
 * somebody else first) has only its addresses left. What ICMP quotes, the header and the first eight bytes behind
 * (RFC 792), is made up again.
 */
import { type Ipv4Address, writeIpv4 } from '../address/ipv4-address.ts'
import { IcmpMib } from '../observe/mib.ts'
import { HEADROOM } from '../packet/packet.ts'
import { Flow4 } from '../route/flow.ts'
import { RouteFlag } from '../route/rtnetlink.ts'
import { checksum } from '../wire/checksum.ts'
import {
  ICMP_CHECKSUM,
  ICMP_CODE,
  ICMP_HEADER,
  ICMP_QUOTED_BODY,
  ICMP_TYPE,
  IcmpType,
} from '../wire/icmpv4.ts'
import {
  IPV4_CHECKSUM,
  IPV4_DESTINATION,
  IPV4_MIN_HEADER,
  IPV4_PROTOCOL,
  IPV4_SOURCE,
  IPV4_TOTAL_LENGTH,
  IPV4_TTL,
  IpProtocol,
} from '../wire/ipv4.ts'
import { pushIpv4Header } from './header.ts'
import type { Ipv4 } from './ipv4.ts'

/** Of the packet that did not arrive: what there is after its IP header goes by words of 32 bits. */
export interface Undelivered {
  protocol: number
  source: Ipv4Address
  destination: Ipv4Address
  /** Bytes of its payload, as its header had it. */
  length: number
  /** Ports; type, code and checksum of ICMP. */
  first: number
  /** TCP's sequence number; length and checksum of UDP; identifier and sequence of an echo. */
  second: number
}

const LENGTH = ICMP_HEADER + IPV4_MIN_HEADER + ICMP_QUOTED_BODY
const flow = new Flow4()

/**
 * Sends it, under the limits of all errors.
 * @param code of Destination Unreachable
 * @param from whose word it is: an address of this host, or the destination that the packet had
 */
export function sendLateUnreachable(ip: Ipv4, code: number, from: Ipv4Address, about: Undelivered): void {
  const { ctx, rateLimit } = ip
  const { mib } = ctx
  if (!rateLimit.allowGlobal(IcmpType.DEST_UNREACH, code)) return
  flow.reset()
  flow.daddr = about.source
  flow.saddr = from
  flow.anySource = true
  flow.protocol = IpProtocol.ICMP
  const route = ctx.routing.output(flow)
  if (route === null || (route.flags & (RouteFlag.BROADCAST | RouteFlag.MULTICAST)) !== 0) return
  if (!rateLimit.allowDestination(about.source, route, IcmpType.DEST_UNREACH, code)) return
  const error = ctx.pool.allocate(LENGTH, HEADROOM)
  if (error === null) {
    mib.icmp[IcmpMib.OutErrors]!++
    return
  }
  const at = error.put(LENGTH)
  const { bytes } = error
  bytes.fill(0, at, at + LENGTH)
  bytes[at + ICMP_TYPE] = IcmpType.DEST_UNREACH
  bytes[at + ICMP_CODE] = code
  const quote = at + ICMP_HEADER
  bytes[quote] = 0x45
  put16(bytes, quote + IPV4_TOTAL_LENGTH, IPV4_MIN_HEADER + about.length)
  bytes[quote + IPV4_TTL] = 64
  bytes[quote + IPV4_PROTOCOL] = about.protocol
  writeIpv4(bytes, quote + IPV4_SOURCE, about.source)
  writeIpv4(bytes, quote + IPV4_DESTINATION, about.destination)
  put16(bytes, quote + IPV4_CHECKSUM, checksum(bytes, quote, quote + IPV4_MIN_HEADER))
  writeIpv4(bytes, quote + IPV4_MIN_HEADER, about.first)
  writeIpv4(bytes, quote + IPV4_MIN_HEADER + 4, about.second)
  put16(bytes, at + ICMP_CHECKSUM, checksum(bytes, at, at + LENGTH))
  const id = ip.identification.next(from, about.source, IpProtocol.ICMP, ctx.now)
  pushIpv4Header(error, from, about.source, IpProtocol.ICMP, 0xc0, ip.defaultTtl(route), id, 0)
  mib.icmp[IcmpMib.OutMsgs]!++
  mib.icmpMsgOut[IcmpType.DEST_UNREACH]!++
  ip.output.sendLocal(error, route)
}

function put16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 8
  bytes[at + 1] = value
}
