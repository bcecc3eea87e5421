/** What the parts of a gateway have in common. */
import type { TunstackError } from '../../errors.ts'
import type { Stack } from '../../stack/stack.ts'
import type { GatewaySettings } from './options.ts'
import type { Policy } from './policy.ts'

/** What a gateway has done. */
export interface GatewayCounters {
  /** Connections that guests have asked for, of those the ones that the host could not make, and those over the limit. */
  tcpRequests: number
  tcpFailed: number
  tcpLimited: number
  /** Connections that there are now, those being made included. */
  tcpOpen: number
  /** Bytes. */
  tcpToHost: number
  tcpToGuest: number
  /** Sockets of the host that guests had for UDP, of those the ones that made room for others, and those there are. */
  udpMappings: number
  udpEvicted: number
  udpOpen: number
  /** Datagrams. */
  udpToHost: number
  udpToGuest: number
  /** Echo requests to others; questions to the gateway's DNS, of those the ones that no resolver has answered. */
  pings: number
  dnsQueries: number
  dnsFailed: number
  /** Flows that were denied or dropped by decision. */
  denied: number
}

export interface GatewayContext {
  readonly stack: Stack
  /** Its own, in the guest's network. */
  readonly address: string
  readonly settings: GatewaySettings
  readonly policy: Policy
  readonly counters: GatewayCounters
  report(error: unknown): void
  /** The stack has somebody else for what a gateway needs for itself. */
  inUse(what: string): TunstackError
}

export function newCounters(): GatewayCounters {
  return {
    tcpRequests: 0,
    tcpFailed: 0,
    tcpLimited: 0,
    tcpOpen: 0,
    tcpToHost: 0,
    tcpToGuest: 0,
    udpMappings: 0,
    udpEvicted: 0,
    udpOpen: 0,
    udpToHost: 0,
    udpToGuest: 0,
    pings: 0,
    dnsQueries: 0,
    dnsFailed: 0,
    denied: 0,
  }
}
