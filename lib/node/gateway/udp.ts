/**
 * UDP of guests to the outside (RFC 4787): each address and port of a guest has one socket of the host for as long as it
 * is in use, whomever it talks to (endpoint-independent mapping); who may answer are the addresses that it has talked to
 * (address-dependent filtering). While that is only one, the socket is connected to it: then the host's kernel tells of
 * errors, and the guest is told.
 */
import type { Ipv4Address } from '../../address/ipv4-address.ts'
import { DatagramInfo } from '../../udp/datagram-queue.ts'
import type { DatagramTaker, UdpCatchAll } from '../../udp/udp-catch-all.ts'
import { UnreachableCode } from '../../wire/icmpv4.ts'
import type { GatewayContext } from './context.ts'
import type { Decision } from './policy.ts'
import { unreachableCode } from './tcp.ts'
import { UdpMapping } from './udp-mapping.ts'

/** Whom one mapping may talk to at a time; the one that was talked to least recently is forgotten. */
const MAX_PEERS = 256
/** Datagrams that wait for the program's decision. */
const MAX_UNDECIDED = 16
const DNS = 53

/** Somebody that a guest has sent to, and what was decided about it. */
export interface UdpPeer {
  readonly address: Ipv4Address
  readonly port: number
  /** `null`: not yet. */
  decision: Decision | null
  /** What waits for it. */
  readonly waiting: Uint8Array[]
  /** Bytes of the last datagram: an error quotes its length. */
  lastLength: number
}

export class UdpOutbound implements DatagramTaker {
  readonly #gateway: GatewayContext
  readonly #catchAll: UdpCatchAll
  readonly #info = new DatagramInfo()
  /** By the guest's address and port; the one that was used least recently first. */
  readonly #mappings = new Map<number, UdpMapping>()
  readonly #sweep: NodeJS.Timeout

  /** @throws TunstackError `EADDRINUSE` */
  constructor(gateway: GatewayContext) {
    this.#gateway = gateway
    this.#catchAll = gateway.stack.udp.bindAll({ receiveBuffer: 1 << 20 })
    this.#catchAll.taker = this
    const { udpTimeout, dnsTimeout } = gateway.settings
    this.#sweep = setInterval(
      () => this.#expire(),
      Math.max(10, Math.min(1000, udpTimeout / 4, dnsTimeout / 4)),
    )
    this.#sweep.unref()
  }

  datagramsArrived(): void {
    const info = this.#info
    for (let data = this.#catchAll.take(info); data !== null; data = this.#catchAll.take(info)) {
      const mapping = this.#mappingOf(info.source, info.port)
      const peer = this.#peerOf(mapping, info.destination, info.toPort)
      peer.lastLength = data.length
      const { decision } = peer
      if (decision !== null) this.#send(mapping, peer, decision, data)
      else if (peer.waiting.length < MAX_UNDECIDED) peer.waiting.push(data)
    }
  }

  close(): void {
    clearInterval(this.#sweep)
    this.#catchAll.close()
    for (const mapping of this.#mappings.values()) mapping.close()
    this.#mappings.clear()
    this.#gateway.counters.udpOpen = 0
  }

  #mappingOf(guest: Ipv4Address, port: number): UdpMapping {
    const key = keyOf(guest, port)
    const mappings = this.#mappings
    let mapping = mappings.get(key)
    if (mapping !== undefined) {
      mappings.delete(key) // to the end
      mappings.set(key, mapping)
    } else {
      const { settings, counters } = this.#gateway
      if (mappings.size >= settings.maxUdpMappings) {
        const [oldest, gone] = mappings.entries().next().value!
        mappings.delete(oldest)
        gone.close()
        counters.udpEvicted++
      }
      mapping = new UdpMapping(guest, port, this)
      mappings.set(key, mapping)
      counters.udpMappings++
      counters.udpOpen = mappings.size
    }
    mapping.lastUsed = performance.now()
    return mapping
  }

  #peerOf(mapping: UdpMapping, address: Ipv4Address, port: number): UdpPeer {
    const { peers } = mapping
    const key = keyOf(address, port)
    const known = peers.get(key)
    if (known !== undefined) return known
    if (peers.size >= MAX_PEERS) {
      const [oldest, gone] = peers.entries().next().value!
      peers.delete(oldest)
      mapping.forget(gone)
    }
    const peer: UdpPeer = { address, port, decision: null, waiting: [], lastLength: 0 }
    peers.set(key, peer)
    if (port !== DNS) mapping.onlyDns = false
    const decision = this.#gateway.policy.decide('udp', mapping.guest, mapping.guestPort, address, port)
    if (decision instanceof Promise) void decision.then((later) => this.#decided(mapping, peer, later))
    else this.#decided(mapping, peer, decision)
    return peer
  }

  #decided(mapping: UdpMapping, peer: UdpPeer, decision: Decision): void {
    peer.decision = decision
    if (decision.action === 'allow') mapping.admit(peer, decision)
    else this.#gateway.counters.denied++
    for (const data of peer.waiting.splice(0)) this.#send(mapping, peer, decision, data)
  }

  #send(mapping: UdpMapping, peer: UdpPeer, decision: Decision, data: Uint8Array): void {
    if (mapping.closed) return
    if (decision.action === 'allow') {
      this.#gateway.counters.udpToHost++
      mapping.send(data, decision)
    } else if (decision.action === 'deny') this.#unreachable(mapping, peer, UnreachableCode.PORT)
  }

  /** @internal the host has received something for a guest */
  received(mapping: UdpMapping, data: Uint8Array, address: Ipv4Address, port: number): void {
    mapping.lastUsed = performance.now()
    this.#gateway.counters.udpToGuest++
    this.#catchAll.sendFrom(data, mapping.guest, mapping.guestPort, address, port)
  }

  /** @internal the host could not send, or was told that it did not arrive. `null`: the socket is of no use */
  failed(mapping: UdpMapping, peer: UdpPeer | null, error: NodeJS.ErrnoException): void {
    const { code = 'EIO' } = error
    if (peer === null) {
      this.#gateway.report(error)
      this.#remove(mapping)
    } else if (code === 'ECONNREFUSED') this.#unreachable(mapping, peer, UnreachableCode.PORT)
    else {
      const unreachable = unreachableCode(code)
      if (unreachable >= 0) this.#unreachable(mapping, peer, unreachable)
    }
  }

  #unreachable({ guest, guestPort }: UdpMapping, peer: UdpPeer, code: number): void {
    const from = code === UnreachableCode.PORT ? peer.address : this.#gateway.settings.prefix.address
    this.#catchAll.unreachable(code, from, guest, guestPort, peer.address, peer.port, peer.lastLength)
  }

  #remove(mapping: UdpMapping): void {
    mapping.close()
    this.#mappings.delete(keyOf(mapping.guest, mapping.guestPort))
    this.#gateway.counters.udpOpen = this.#mappings.size
  }

  #expire(): void {
    const { udpTimeout, dnsTimeout } = this.#gateway.settings
    const now = performance.now()
    for (const mapping of this.#mappings.values()) {
      if (now - mapping.lastUsed >= (mapping.onlyDns ? dnsTimeout : udpTimeout)) this.#remove(mapping)
    }
  }
}

function keyOf(address: Ipv4Address, port: number): number {
  return (address >>> 0) * 0x10000 + port
}
