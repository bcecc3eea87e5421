/**
 * How often a router tells one sender that it has no route (`ip_error` of Linux): `error_burst` and `error_cost`
 * of `net.ipv4.route`, a token bucket in milliseconds per sender, beside the limits that hold for all ICMP.
 */
import type { Ipv4Address } from '../address/ipv4-address.ts'
import type { RouteSettings } from '../sysctl/settings.ts'
import { MILLISECOND } from '../time/clock.ts'

/** Senders remembered; the one heard of first makes room. */
const MAX_PEERS = 1024

interface Peer {
  /** Milliseconds of credit at `last`. */
  tokens: number
  /** Stack time in nanoseconds. */
  last: number
}

export class UnreachableLimit {
  readonly #settings: RouteSettings
  readonly #blind: number
  readonly #peers = new Map<number, Peer>()

  /** @param blind a secret that the keys are mixed with, so that the wire can't choose how they hash */
  constructor(settings: RouteSettings, blind: number) {
    this.#settings = settings
    this.#blind = blind
  }

  allow(sender: Ipv4Address, now: number): boolean {
    const { error_burst, error_cost } = this.#settings
    const key = sender ^ this.#blind
    let peer = this.#peers.get(key)
    if (peer === undefined) {
      if (this.#peers.size >= MAX_PEERS) {
        for (const first of this.#peers.keys()) {
          this.#peers.delete(first)
          break
        }
      }
      peer = { tokens: error_burst, last: now }
      this.#peers.set(key, peer)
    }
    peer.tokens = Math.min(error_burst, peer.tokens + (now - peer.last) / MILLISECOND)
    peer.last = now
    if (peer.tokens < error_cost) return false
    peer.tokens -= error_cost
    return true
  }
}
