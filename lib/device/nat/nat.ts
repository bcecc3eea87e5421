/**
 * Source NAT with port mapping, as a decorator of the device that leads outside: what hosts behind it send leaves
 * under one address, each of their ports (or echo identifiers) under one of its own, and what comes back finds its
 * way. The mapping of a port is the same for every peer (RFC 4787 REQ-1); a port keeps its number where it can. By
 * default only peers that were talked to may answer, as with Linux's MASQUERADE. Errors of ICMP are translated with
 * what they quote (RFC 5508 §4). A router holds it; stack and routes know nothing of it.
 */
import { formatIpv4, type Ipv4Address, parseIpv4, readIpv4, writeIpv4 } from '../../address/ipv4-address.ts'
import { invalidArgument, TunstackError } from '../../errors.ts'
import type { Burst } from '../../packet/burst.ts'
import { Checksum, type Packet } from '../../packet/packet.ts'
import { Random, type RandomSource, systemRandom } from '../../random/random.ts'
import { updateChecksum32 } from '../../wire/checksum.ts'
import { DropReason } from '../../wire/drop-reason.ts'
import {
  checkIpv4Lengths,
  IPV4_CHECKSUM,
  IPV4_DESTINATION,
  IPV4_FLAGS_FRAGMENT,
  IPV4_MF,
  IPV4_OFFSET_MASK,
  IPV4_PROTOCOL,
  IPV4_SOURCE,
  IpProtocol,
} from '../../wire/ipv4.ts'
import { TCP_FLAGS, TCP_MIN_HEADER, TcpFlag } from '../../wire/tcp.ts'
import { ownBytes } from '../impair/own-bytes.ts'
import { LinkDecorator } from '../link-decorator.ts'
import type { LinkDevice } from '../link-device.ts'
import { endpointKey, type MappedProtocol, Mapping, MappingTable, NAMES, TIMEOUT } from './mappings.ts'
import {
  change32,
  datagramKey,
  hasSum,
  isError,
  isUdp,
  portAt,
  put16,
  quotedPort,
  quoteOf,
  rewriteQuote,
  setPort,
  sumIcmp,
  transportOf,
  transportSum,
} from './rewrite.ts'

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

const FIRST_PORT = 1024
const DRAWS = 64
/** Datagrams whose first fragment has passed. */
const MAX_FRAGMENTED = 1024
/** Peers that one mapping remembers. */
const MAX_PEERS = 4096

/** @throws TunstackError `ERR_INVALID_ARG_VALUE` */
export function natDevice(device: LinkDevice, options: NatOptions): NatDevice {
  return new Nat(device, options)
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
    const mapping = this.#map(protocol as MappedProtocol, source, port)
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

  #map(protocol: MappedProtocol, address: Ipv4Address, port: number): Mapping | null {
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
