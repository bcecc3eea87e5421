/**
 * Source NAT with port mapping, as a decorator of the device that leads outside: what hosts behind it send leaves
 * under one address, each of their ports (or echo identifiers) under one of its own, and what comes back finds its
 * way. The mapping of a port is the same for every peer (RFC 4787 REQ-1); a port keeps its number where it can. By
 * default only peers that were talked to may answer, as with Linux's MASQUERADE. Errors of ICMP are translated with
 * what they quote (RFC 5508 §4). A router holds it; stack and routes know nothing of it.
 */
import { formatIpv4, type Ipv4Address, parseIpv4, readIpv4, writeIpv4 } from '../address/ipv4-address.ts'
import { invalidArgument, TunstackError } from '../errors.ts'
import type { Burst } from '../packet/burst.ts'
import { completeChecksum } from '../packet/complete-checksum.ts'
import { Checksum, type Packet } from '../packet/packet.ts'
import { Random, type RandomSource, systemRandom } from '../random/random.ts'
import { SECOND } from '../time/clock.ts'
import { checksum, updateChecksum16, updateChecksum32 } from '../wire/checksum.ts'
import { DropReason } from '../wire/drop-reason.ts'
import { ICMP_CHECKSUM, ICMP_HEADER, ICMP_ID, ICMP_TYPE, IcmpType } from '../wire/icmpv4.ts'
import {
  checkIpv4Lengths,
  IPV4_CHECKSUM,
  IPV4_DESTINATION,
  IPV4_FLAGS_FRAGMENT,
  IPV4_ID,
  IPV4_MF,
  IPV4_MIN_HEADER,
  IPV4_OFFSET_MASK,
  IPV4_PROTOCOL,
  IPV4_SOURCE,
  IpProtocol,
} from '../wire/ipv4.ts'
import { TCP_CHECKSUM, TCP_FLAGS, TCP_MIN_HEADER, TcpFlag } from '../wire/tcp.ts'
import { UDP_CHECKSUM, UDP_HEADER } from '../wire/udp.ts'
import { ownBytes } from './impair/own-bytes.ts'
import { LinkDecorator } from './link-decorator.ts'
import type { LinkDevice } from './link-device.ts'

/** Who may send to a mapped port: the address and port that was talked to, that address by any port, or anybody. */
export type NatFiltering = 'address-and-port' | 'address' | 'none'

export interface NatOptions {
  /** The address that everything leaves under: one that the router has on this device. */
  address: string
  /** `'address-and-port'` by default, as Linux. */
  filtering?: NatFiltering
  /** Mappings at most; 65536 by default. */
  limit?: number
  random?: RandomSource
}

/** A port of the outside and whose it is. */
export interface NatMapping {
  readonly protocol: 'udp' | 'tcp' | 'icmp'
  /** `'10.0.0.2:5000'` */
  readonly inside: string
  /** Port, or identifier of echoes. */
  readonly outside: number
}

export interface NatDevice extends LinkDevice {
  readonly mappings: readonly NatMapping[]
  /** Packets that were let through under another address. */
  readonly translated: number
  /** Packets that nobody inside was waiting for, and those that could not be translated. */
  readonly refused: number
  /**
   * Gives a port of the outside to a port inside, for ever and for any peer.
   * @throws TunstackError `ERR_INVALID_ARG_VALUE`; `EADDRINUSE` if another has it
   */
  forward(protocol: 'udp' | 'tcp', outsidePort: number, insideAddress: string, insidePort: number): void
}

/** Linux's `nf_conntrack_*_timeout`. */
const TIMEOUT = {
  /** Nothing has come back yet. */
  udp: 30 * SECOND,
  udpStream: 120 * SECOND,
  icmp: 30 * SECOND,
  /** A TCP connection that begins or ends. */
  tcpTransitory: 120 * SECOND,
  tcpEstablished: 432_000 * SECOND,
  fragment: 30 * SECOND,
} as const

const FIRST_PORT = 1024
const DRAWS = 64
/** Datagrams whose first fragment has passed. */
const MAX_FRAGMENTED = 1024
/** Peers that one mapping remembers. */
const MAX_PEERS = 4096

const NAMES = { [IpProtocol.UDP]: 'udp', [IpProtocol.TCP]: 'tcp', [IpProtocol.ICMP]: 'icmp' } as const

/** @throws TunstackError `ERR_INVALID_ARG_VALUE` */
export function natDevice(device: LinkDevice, options: NatOptions): NatDevice {
  return new Nat(device, options)
}

/** Address and port as one number, exact as a double. */
function endpointKey(address: Ipv4Address, port: number): number {
  return (address >>> 0) * 0x10000 + port
}

class Mapping {
  readonly protocol: keyof typeof NAMES
  readonly address: Ipv4Address
  readonly port: number
  readonly outside: number
  readonly isStatic: boolean
  expires = 0
  answered = false
  closing = false
  /** Who was talked to, the latest last: address and port, or the address alone. */
  readonly peers = new Set<number>()

  constructor(
    protocol: keyof typeof NAMES,
    address: Ipv4Address,
    port: number,
    outside: number,
    isStatic: boolean,
  ) {
    this.protocol = protocol
    this.address = address
    this.port = port
    this.outside = outside
    this.isStatic = isStatic
  }

  touch(now: number): void {
    this.expires = this.isStatic ? Number.POSITIVE_INFINITY : now + this.#timeout()
  }

  #timeout(): number {
    switch (this.protocol) {
      case IpProtocol.ICMP:
        return TIMEOUT.icmp
      case IpProtocol.UDP:
        return this.answered ? TIMEOUT.udpStream : TIMEOUT.udp
      case IpProtocol.TCP:
        return this.answered && !this.closing ? TIMEOUT.tcpEstablished : TIMEOUT.tcpTransitory
    }
  }
}

/** The mappings of one protocol. */
class MappingTable {
  readonly byInside = new Map<number, Mapping>()
  readonly byOutside = new Map<number, Mapping>()

  add(mapping: Mapping): void {
    this.byInside.set(endpointKey(mapping.address, mapping.port), mapping)
    this.byOutside.set(mapping.outside, mapping)
  }

  remove(mapping: Mapping): void {
    this.byInside.delete(endpointKey(mapping.address, mapping.port))
    this.byOutside.delete(mapping.outside)
  }

  /** The mapping of an outside port; one whose time is over is gone. */
  at(outside: number, now: number): Mapping | null {
    const mapping = this.byOutside.get(outside)
    if (mapping === undefined) return null
    if (mapping.expires > now) return mapping
    this.remove(mapping)
    return null
  }
}

class Nat extends LinkDecorator implements NatDevice {
  translated = 0
  refused = 0
  readonly #address: Ipv4Address
  readonly #filtering: NatFiltering
  readonly #limit: number
  readonly #random: Random
  readonly #tables: Readonly<Record<number, MappingTable>> = {
    [IpProtocol.UDP]: new MappingTable(),
    [IpProtocol.TCP]: new MappingTable(),
    [IpProtocol.ICMP]: new MappingTable(),
  }
  /** Where later fragments from outside go: key of the datagram, address inside, until when. */
  readonly #fragments = new Map<string, { address: Ipv4Address; expires: number }>()
  /** Packets at the head of the next burst that were translated, and not taken, last time. */
  #offered: (Packet | null)[] = []

  constructor(device: LinkDevice, options: NatOptions) {
    super(device)
    this.#address = parseIpv4(options?.address)
    const { filtering = 'address-and-port', limit = 65536 } = options
    if (!['address-and-port', 'address', 'none'].includes(filtering)) {
      throw invalidArgument('filtering', filtering, "'address-and-port', 'address' or 'none'")
    }
    if (!Number.isInteger(limit) || limit < 1) throw invalidArgument('limit', limit, '1 or more')
    this.#filtering = filtering
    this.#limit = limit
    this.#random = new Random(options.random ?? systemRandom())
  }

  get mappings(): NatMapping[] {
    const now = this.host?.clock.now() ?? 0
    return Object.values(this.#tables)
      .flatMap(({ byOutside }) => [...byOutside.values()])
      .filter(({ expires }) => expires > now)
      .map(({ protocol, address, port, outside }) => ({
        protocol: NAMES[protocol],
        inside: `${formatIpv4(address)}:${port}`,
        outside,
      }))
  }

  forward(protocol: 'udp' | 'tcp', outsidePort: number, insideAddress: string, insidePort: number): void {
    if (protocol !== 'udp' && protocol !== 'tcp')
      throw invalidArgument('protocol', protocol, "'udp' or 'tcp'")
    for (const port of [outsidePort, insidePort]) {
      if (!Number.isInteger(port) || port < 1 || port > 0xffff) throw invalidArgument('port', port, '1…65535')
    }
    const number = protocol === 'udp' ? IpProtocol.UDP : IpProtocol.TCP
    const table = this.#tables[number]!
    const inside = parseIpv4(insideAddress)
    for (const other of [
      table.byOutside.get(outsidePort),
      table.byInside.get(endpointKey(inside, insidePort)),
    ]) {
      if (other?.isStatic === true) {
        throw new TunstackError('EADDRINUSE', `port ${outsidePort} or ${insidePort} is forwarded already`, {
          value: outsidePort,
        })
      }
      if (other !== undefined) table.remove(other)
    }
    const mapping = new Mapping(number, inside, insidePort, outsidePort, true)
    mapping.touch(0)
    table.add(mapping)
  }

  override transmit(burst: Burst): number {
    const { packets } = burst
    let seen = 0
    while (seen < this.#offered.length && packets[seen] === this.#offered[seen]) seen++
    let kept = seen
    const { length } = burst
    for (let i = seen; i < length; i++) {
      const packet = this.#outgoing(packets[i]!)
      if (packet !== null) packets[kept++] = packet
    }
    for (let i = kept; i < length; i++) packets[i] = null
    burst.length = kept
    const taken = kept === 0 ? 0 : this.device.transmit(burst)
    this.#offered = packets.slice(taken, kept)
    burst.length = length
    // What was refused here counts as taken: the rest is moved up behind it, where the caller looks for it.
    const gone = length - kept
    if (gone > 0) {
      for (let i = kept - 1; i >= taken; i--) packets[i + gone] = packets[i]!
    }
    return taken + gone
  }

  override poll(burst: Burst): boolean {
    const more = super.poll(burst)
    this.#incomingBurst(burst)
    return more
  }

  override receive(burst: Burst, now?: number): void {
    this.#incomingBurst(burst)
    if (burst.length > 0) super.receive(burst, now)
  }

  override setUp(up: boolean): void {
    this.#offered = []
    super.setUp(up)
  }

  #incomingBurst(burst: Burst): void {
    const { packets, length } = burst
    let kept = 0
    for (let i = 0; i < length; i++) {
      const packet = this.#incoming(packets[i]!)
      if (packet !== null) packets[kept++] = packet
    }
    for (let i = kept; i < length; i++) packets[i] = null
    burst.length = kept
  }

  /** A packet that leaves, under the outside address; `null` if it was refused. */
  #outgoing(packet: Packet): Packet | null {
    const { bytes, start } = packet
    if (checkIpv4Lengths(bytes, start, packet.end) !== DropReason.NONE) return packet
    const source = readIpv4(bytes, start + IPV4_SOURCE)
    const word = (bytes[start + IPV4_FLAGS_FRAGMENT]! << 8) | bytes[start + IPV4_FLAGS_FRAGMENT + 1]!
    const own = ownBytes(packet)
    if (own === null) return this.#refuse(packet, DropReason.NOMEM)
    // A later fragment has no port; its datagram is told by address and identification, which stay.
    if ((word & IPV4_OFFSET_MASK) !== 0) return this.#readdress(own, IPV4_SOURCE, this.#address)
    const at = transportOf(own)
    const protocol = own.bytes[own.start + IPV4_PROTOCOL]!
    if (protocol === IpProtocol.ICMP && isError(own, at)) return this.#outgoingError(own, at)
    const port = portAt(own, at, protocol, true)
    if (port < 0) return source === this.#address ? own : this.#refuse(own, DropReason.UNHANDLED_PROTO)
    const mapping = this.#map(protocol as keyof typeof NAMES, source, port)
    if (mapping === null) return this.#refuse(own, DropReason.NOMEM)
    this.#note(mapping, own, at, IPV4_DESTINATION)
    setPort(own, at, protocol, true, mapping.outside)
    return this.#readdress(own, IPV4_SOURCE, this.#address)
  }

  /** A packet that comes in, to who is meant by its port; `null` if nobody is. */
  #incoming(packet: Packet): Packet | null {
    const { bytes, start } = packet
    if (checkIpv4Lengths(bytes, start, packet.end) !== DropReason.NONE) return packet
    if (readIpv4(bytes, start + IPV4_DESTINATION) !== this.#address) return packet
    const own = ownBytes(packet)
    if (own === null) return this.#refuse(packet, DropReason.NOMEM)
    const now = this.host.clock.now()
    const word =
      (own.bytes[own.start + IPV4_FLAGS_FRAGMENT]! << 8) | own.bytes[own.start + IPV4_FLAGS_FRAGMENT + 1]!
    if ((word & IPV4_OFFSET_MASK) !== 0) {
      const first = this.#fragments.get(datagramKey(own))
      if (first === undefined || first.expires <= now) return own // the router's own, or nobody's
      return this.#readdress(own, IPV4_DESTINATION, first.address)
    }
    const at = transportOf(own)
    const protocol = own.bytes[own.start + IPV4_PROTOCOL]!
    if (protocol === IpProtocol.ICMP && isError(own, at)) return this.#incomingError(own, at)
    const port = portAt(own, at, protocol, false)
    if (port < 0) return own
    const mapping = this.#tables[protocol]!.at(port, now)
    if (mapping === null) return own // for the router itself: it answers as it does without NAT
    if (!this.#admits(mapping, own, at)) return this.#refuse(own, DropReason.IP_INADDRERRORS)
    mapping.answered = true
    this.#note(mapping, own, at, IPV4_SOURCE)
    if ((word & IPV4_MF) !== 0) this.#rememberFragments(own, mapping.address, now)
    setPort(own, at, protocol, false, mapping.port)
    return this.#readdress(own, IPV4_DESTINATION, mapping.address)
  }

  /** An error from inside about what came from outside: it quotes a packet to the inside address. */
  #outgoingError(packet: Packet, at: number): Packet | null {
    const quote = quoteOf(packet, at)
    if (quote === null) return this.#refuse(packet, DropReason.INVALID_PROTO)
    const { bytes } = packet
    const inside = readIpv4(bytes, quote.at + IPV4_DESTINATION)
    const port = quotedPort(bytes, quote, false)
    const mapping = this.#tables[quote.protocol]?.byInside.get(endpointKey(inside, port))
    if (mapping !== undefined && port >= 0) {
      rewriteQuote(bytes, quote, IPV4_DESTINATION, this.#address, false, mapping.outside)
      sumIcmp(packet, at)
    } else if (readIpv4(bytes, packet.start + IPV4_SOURCE) !== this.#address) {
      return this.#refuse(packet, DropReason.INVALID_PROTO)
    }
    return this.#readdress(packet, IPV4_SOURCE, this.#address)
  }

  /** An error from outside about what left under our address. */
  #incomingError(packet: Packet, at: number): Packet | null {
    const quote = quoteOf(packet, at)
    if (quote === null) return packet
    const { bytes } = packet
    if (readIpv4(bytes, quote.at + IPV4_SOURCE) !== this.#address) return packet
    const port = quotedPort(bytes, quote, true)
    const mapping = port < 0 ? null : (this.#tables[quote.protocol]?.at(port, this.host.clock.now()) ?? null)
    if (mapping === null) return packet
    rewriteQuote(bytes, quote, IPV4_SOURCE, mapping.address, true, mapping.port)
    sumIcmp(packet, at)
    return this.#readdress(packet, IPV4_DESTINATION, mapping.address)
  }

  #map(protocol: keyof typeof NAMES, address: Ipv4Address, port: number): Mapping | null {
    const table = this.#tables[protocol]!
    const now = this.host.clock.now()
    const known = table.byInside.get(endpointKey(address, port))
    if (known !== undefined) {
      if (known.expires > now) return known
      table.remove(known)
    }
    const outside = this.#pickPort(table, port, now)
    if (outside < 0) return null
    const mapping = new Mapping(protocol, address, port, outside, false)
    table.add(mapping)
    return mapping
  }

  /** The port itself if it is free, else one by chance; -1 if there is none. */
  #pickPort(table: MappingTable, wanted: number, now: number): number {
    if (table.byOutside.size >= this.#limit) {
      for (const mapping of table.byOutside.values()) if (mapping.expires <= now) table.remove(mapping)
      if (table.byOutside.size >= this.#limit) return -1
    }
    if (table.at(wanted, now) === null) return wanted
    const size = 0x10000 - FIRST_PORT
    for (let i = 0; i < DRAWS; i++) {
      const port = FIRST_PORT + this.#random.below(size)
      if (table.at(port, now) === null) return port
    }
    const start = this.#random.below(size)
    for (let i = 0; i < size; i++) {
      const port = FIRST_PORT + ((start + i) % size)
      if (table.at(port, now) === null) return port
    }
    return -1
  }

  /** The mapping is in use: with this peer. */
  #note(mapping: Mapping, packet: Packet, at: number, peerField: number): void {
    const { bytes } = packet
    const { protocol, peers } = mapping
    if (protocol === IpProtocol.TCP && at + TCP_MIN_HEADER <= packet.end) {
      const flags = bytes[at + TCP_FLAGS]!
      if ((flags & (TcpFlag.FIN | TcpFlag.RST)) !== 0) mapping.closing = true
      else if ((flags & TcpFlag.SYN) !== 0) mapping.closing = false
    }
    mapping.touch(this.host.clock.now())
    if (peerField !== IPV4_DESTINATION || this.#filtering === 'none') return
    const key = this.#peerKey(packet, at, protocol, IPV4_DESTINATION)
    peers.delete(key)
    peers.add(key)
    if (peers.size > MAX_PEERS) for (const oldest of peers) return void peers.delete(oldest)
  }

  #admits(mapping: Mapping, packet: Packet, at: number): boolean {
    // Whom the router itself talks to is its own business.
    if (mapping.isStatic || this.#filtering === 'none' || mapping.address === this.#address) return true
    return mapping.peers.has(this.#peerKey(packet, at, mapping.protocol, IPV4_SOURCE))
  }

  /** The peer as the filter sees it. Echoes have one identifier for both sides. */
  #peerKey({ bytes, start }: Packet, at: number, protocol: number, field: number): number {
    const address = readIpv4(bytes, start + field)
    if (this.#filtering === 'address' || protocol === IpProtocol.ICMP) return endpointKey(address, 0)
    const port = field === IPV4_SOURCE ? at : at + 2
    return endpointKey(address, (bytes[port]! << 8) | bytes[port + 1]!)
  }

  #rememberFragments(packet: Packet, address: Ipv4Address, now: number): void {
    const fragments = this.#fragments
    if (fragments.size >= MAX_FRAGMENTED)
      for (const key of fragments.keys()) return void fragments.delete(key)
    fragments.set(datagramKey(packet), { address, expires: now + TIMEOUT.fragment })
  }

  /** Puts another address into the header, and into what is summed of it. */
  #readdress(packet: Packet, field: number, address: Ipv4Address): Packet {
    const { bytes, start } = packet
    const before = readIpv4(bytes, start + field)
    if (before === address) return packet
    this.translated++
    writeIpv4(bytes, start + field, address)
    change32(bytes, start + IPV4_CHECKSUM, before, address)
    const word = (bytes[start + IPV4_FLAGS_FRAGMENT]! << 8) | bytes[start + IPV4_FLAGS_FRAGMENT + 1]!
    if ((word & IPV4_OFFSET_MASK) !== 0) return packet
    const sum = bytes[start + IPV4_PROTOCOL] === IpProtocol.ICMP ? -1 : transportSum(packet)
    if (sum < 0) return packet // ICMP sums no addresses
    if (packet.checksum === Checksum.PARTIAL) {
      // The field holds the sum of the pseudo-header, as it is and not complemented.
      const open = ~((bytes[sum]! << 8) | bytes[sum + 1]!) & 0xffff
      put16(bytes, sum, ~updateChecksum32(open, before, address))
    } else if (hasSum(packet, sum)) change32(bytes, sum, before, address, isUdp(packet))
    return packet
  }

  #refuse(packet: Packet, reason: DropReason): null {
    this.refused++
    this.drop(packet, reason)
    return null
  }
}

function transportOf(packet: Packet): number {
  return packet.start + (packet.bytes[packet.start]! & 15) * 4
}

function isUdp(packet: Packet): boolean {
  return packet.bytes[packet.start + IPV4_PROTOCOL] === IpProtocol.UDP
}

function isError({ bytes, end }: Packet, at: number): boolean {
  if (at + ICMP_HEADER > end) return false
  const type = bytes[at + ICMP_TYPE]!
  return (
    type === IcmpType.DEST_UNREACH ||
    type === IcmpType.SOURCE_QUENCH ||
    type === IcmpType.REDIRECT ||
    type === IcmpType.TIME_EXCEEDED ||
    type === IcmpType.PARAMETER_PROBLEM
  )
}

/** The port that belongs to the inside: of what leaves, or of what comes in; -1 if it has none. */
function portAt({ bytes, end }: Packet, at: number, protocol: number, leaves: boolean): number {
  switch (protocol) {
    case IpProtocol.UDP:
    case IpProtocol.TCP: {
      if (at + (protocol === IpProtocol.UDP ? UDP_HEADER : 4) > end) return -1
      const port = leaves ? at : at + 2
      return (bytes[port]! << 8) | bytes[port + 1]!
    }
    case IpProtocol.ICMP: {
      if (at + ICMP_HEADER > end) return -1
      const type = bytes[at + ICMP_TYPE]!
      // Who asks is inside: a question from outside, and its answer, are the router's own.
      const wanted = leaves
        ? type === IcmpType.ECHO || type === IcmpType.TIMESTAMP
        : type === IcmpType.ECHO_REPLY || type === IcmpType.TIMESTAMP_REPLY
      return wanted ? (bytes[at + ICMP_ID]! << 8) | bytes[at + ICMP_ID + 1]! : -1
    }
    default:
      return -1
  }
}

function setPort(packet: Packet, at: number, protocol: number, source: boolean, port: number): void {
  const { bytes } = packet
  const field = protocol === IpProtocol.ICMP ? at + ICMP_ID : source ? at : at + 2
  const before = (bytes[field]! << 8) | bytes[field + 1]!
  if (before === port) return
  put16(bytes, field, port)
  const sum = transportSum(packet)
  if (sum < 0) return
  if (packet.checksum === Checksum.PARTIAL) return // it does not cover ports yet
  if (hasSum(packet, sum)) change16(bytes, sum, before, port, isUdp(packet))
}

/** Where the checksum above IP is; -1 if it is not there. */
function transportSum(packet: Packet): number {
  const at = transportOf(packet)
  const protocol = packet.bytes[packet.start + IPV4_PROTOCOL]
  const field =
    protocol === IpProtocol.UDP
      ? UDP_CHECKSUM
      : protocol === IpProtocol.TCP
        ? TCP_CHECKSUM
        : protocol === IpProtocol.ICMP
          ? ICMP_CHECKSUM
          : -1
  return field < 0 || at + field + 2 > packet.end ? -1 : at + field
}

/** UDP may sum nothing at all. */
function hasSum(packet: Packet, sum: number): boolean {
  return !isUdp(packet) || packet.bytes[sum] !== 0 || packet.bytes[sum + 1] !== 0
}

function put16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 8
  bytes[at + 1] = value
}

function change16(bytes: Uint8Array, at: number, before: number, after: number, udp: boolean): void {
  const check = updateChecksum16((bytes[at]! << 8) | bytes[at + 1]!, before, after)
  put16(bytes, at, udp && check === 0 ? 0xffff : check)
}

function change32(bytes: Uint8Array, at: number, before: number, after: number, udp = false): void {
  const check = updateChecksum32((bytes[at]! << 8) | bytes[at + 1]!, before, after)
  put16(bytes, at, udp && check === 0 ? 0xffff : check)
}

function datagramKey({ bytes, start }: Packet): string {
  const id = (bytes[start + IPV4_ID]! << 8) | bytes[start + IPV4_ID + 1]!
  return `${readIpv4(bytes, start + IPV4_SOURCE)} ${id} ${bytes[start + IPV4_PROTOCOL]}`
}

/** What an error quotes. */
interface Quote {
  /** Its IP header, and what is behind that. */
  at: number
  transport: number
  end: number
  protocol: number
}

function quoteOf(packet: Packet, at: number): Quote | null {
  if (packet.checksum === Checksum.PARTIAL) completeChecksum(packet)
  const { bytes, end } = packet
  const start = at + ICMP_HEADER
  if (start + IPV4_MIN_HEADER + 8 > end || bytes[start]! >>> 4 !== 4) return null
  const transport = start + (bytes[start]! & 15) * 4
  if (transport < start + IPV4_MIN_HEADER || transport + 8 > end) return null
  return { at: start, transport, end, protocol: bytes[start + IPV4_PROTOCOL]! }
}

function quotedPort(bytes: Uint8Array, { at, transport, protocol }: Quote, source: boolean): number {
  const word = (bytes[at + IPV4_FLAGS_FRAGMENT]! << 8) | bytes[at + IPV4_FLAGS_FRAGMENT + 1]!
  if ((word & IPV4_OFFSET_MASK) !== 0) return -1
  if (protocol === IpProtocol.ICMP) {
    return bytes[transport] === IcmpType.ECHO || bytes[transport] === IcmpType.ECHO_REPLY
      ? (bytes[transport + ICMP_ID]! << 8) | bytes[transport + ICMP_ID + 1]!
      : -1
  }
  if (protocol !== IpProtocol.UDP && protocol !== IpProtocol.TCP) return -1
  const field = source ? transport : transport + 2
  return (bytes[field]! << 8) | bytes[field + 1]!
}

function rewriteQuote(
  bytes: Uint8Array,
  { at, transport, protocol }: Quote,
  field: number,
  address: Ipv4Address,
  source: boolean,
  port: number,
): void {
  change32(bytes, at + IPV4_CHECKSUM, readIpv4(bytes, at + field), address)
  writeIpv4(bytes, at + field, address)
  const place = protocol === IpProtocol.ICMP ? transport + ICMP_ID : source ? transport : transport + 2
  put16(bytes, place, port)
}

function sumIcmp({ bytes, end }: Packet, at: number): void {
  put16(bytes, at + ICMP_CHECKSUM, 0)
  put16(bytes, at + ICMP_CHECKSUM, checksum(bytes, at, end))
}
