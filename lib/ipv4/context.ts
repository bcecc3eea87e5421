/**
 * What IPv4 asks of the stack that it is part of: time, memory, randomness, the tables and the counters. Nothing
 * in this folder reaches for any of these on its own.
 */
import type { DeviceTable, NetDevice } from '../device/net-device.ts'
import type { Mib } from '../observe/mib.ts'
import type { Packet } from '../packet/packet.ts'
import type { PacketPool } from '../packet/packet-pool.ts'
import type { Random } from '../random/random.ts'
import type { HalfSipHash } from '../random/siphash.ts'
import type { Routing } from '../route/routing.ts'
import type { Sysctl } from '../sysctl/sysctl.ts'
import type { TimerWheel } from '../time/timer-wheel.ts'

export interface Ipv4Context {
  /** Stack time in nanoseconds, read once per burst. */
  readonly now: number
  /** The same, for who asks often. */
  readonly time: { readonly now: number }
  /** Milliseconds since midnight UTC at `now`. */
  millisecondsOfDay(): number
  readonly timers: TimerWheel
  readonly pool: PacketPool
  readonly random: Random
  readonly hash: HalfSipHash
  readonly sysctl: Sysctl
  readonly mib: Mib
  readonly devices: DeviceTable
  readonly routing: Routing
  /** Counts a packet that dies and frees it. */
  drop(packet: Packet, reason: number, device: NetDevice | null): void
  /** Frees a packet that has served its purpose. */
  consume(packet: Packet): void
}

/** What an ICMP error says, for the protocol whose packet it quotes. Reused: read it before returning. */
export interface IcmpErrorInfo {
  type: number
  code: number
  /** Next-hop MTU, gateway or pointer, as the type has it. */
  info: number
  /** Linux's errno for it, positive. */
  errno: number
  /** Whether Linux calls it fatal for a connection. */
  fatal: boolean
  /** Who sent the error. */
  reporter: number
  /** Index of the device that it came by. */
  arrival?: number
}

/** Who gets a copy of each datagram for this host, before the protocol that it is for: raw sockets. */
export interface RawDelivery {
  /** True if somebody has taken a copy; the packet stays the caller's. */
  deliver(packet: Packet): boolean
  /** As {@link TransportProtocol.receiveError}. */
  receiveError(bytes: Uint8Array, quote: number, error: IcmpErrorInfo): void
}

/** A protocol above IP. */
export interface TransportProtocol {
  /** Takes over a whole datagram; `packet.transportHeader` is its first byte. */
  receive(packet: Packet): void
  /**
   * An ICMP error about a packet of this protocol. `bytes[quote…end)` is the quoted datagram: an IPv4 header of
   * `headerLength` bytes and at least 8 bytes after it. Nothing else of it can be trusted.
   */
  receiveError(
    bytes: Uint8Array,
    quote: number,
    headerLength: number,
    end: number,
    error: IcmpErrorInfo,
  ): void
}
