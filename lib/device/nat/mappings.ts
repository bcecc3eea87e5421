/** Which port of the outside belongs to which port inside, for how long, and who may use it. */
import type { Ipv4Address } from '../../address/ipv4-address.ts'
import { SECOND } from '../../time/clock.ts'
import { IpProtocol } from '../../wire/ipv4.ts'

/** Linux's `nf_conntrack_*_timeout`. */
export const TIMEOUT = {
  /** Nothing has come back yet. */
  udp: 30 * SECOND,
  udpStream: 120 * SECOND,
  icmp: 30 * SECOND,
  /** A TCP connection that begins or ends. */
  tcpTransitory: 120 * SECOND,
  tcpEstablished: 432_000 * SECOND,
  fragment: 30 * SECOND,
} as const

/** The protocols that have ports, or something like them. */
export const NAMES = { [IpProtocol.UDP]: 'udp', [IpProtocol.TCP]: 'tcp', [IpProtocol.ICMP]: 'icmp' } as const

export type MappedProtocol = keyof typeof NAMES

/** Address and port as one number, exact as a double. */
export function endpointKey(address: Ipv4Address, port: number): number {
  return (address >>> 0) * 0x10000 + port
}

export class Mapping {
  readonly protocol: MappedProtocol
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
    protocol: MappedProtocol,
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
export class MappingTable {
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
