/** What the parts of a gateway have in common. */
import type { TunstackError } from '../../errors.ts'
import type { Stack } from '../../stack/stack.ts'
import type { GatewaySettings } from './options.ts'
import type { Policy } from './policy.ts'
import type { UnreachableErrors } from './unreachable.ts'

/** What a gateway has done. */
export interface GatewayCounters {
  /** Connections that guests have asked for, of those the ones that the host could not make, and those over the limit. */
  tcpRequests: number
  tcpFailed: number
  tcpLimited: number
  /** Connections that there are now, those being made included. */
  tcpOpen: number
  tcpToHost: number
  tcpToGuest: number
  /** Flows that were denied or dropped by decision. */
  denied: number
}

export interface GatewayContext {
  readonly stack: Stack
  readonly settings: GatewaySettings
  readonly policy: Policy
  readonly counters: GatewayCounters
  readonly errors: UnreachableErrors
  report(error: unknown): void
  /** The stack has somebody else for what a gateway needs for itself. */
  inUse(what: string): TunstackError
}
