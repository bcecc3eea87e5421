/**
 * The key of a flow: who talks to whom, by which ports, seen from this host, and on which device. It is ten
 * 32-bit words in an `Int32Array` that its user keeps and refills, so that a look-up allocates nothing. An
 * address takes four words, IPv4 as v4-mapped, so both families share one table. Protocols without ports put
 * what they have instead there, such as the identifier of an ICMP echo.
 */
import { isV4Mapped, setUnspecified, setV4Mapped, V4_MAPPED_WORD } from '../address/ip-address.ts'
import type { Ipv4Address } from '../address/ipv4-address.ts'

/** Where things are in a key. */
export const FlowKey = {
  /** Four words: the address of this host. */
  LOCAL: 0,
  /** Four words: the peer's address; all 0 for who listens. */
  REMOTE: 4,
  /** Local port in the upper half, remote port in the lower. */
  PORTS: 8,
  /** Index of the device: on look-up the one that the packet came by; for an endpoint the one that it is bound to, or 0. */
  DEVICE: 9,
} as const

export const FLOW_KEY_WORDS = 10

export function createFlowKey(): Int32Array {
  return new Int32Array(FLOW_KEY_WORDS)
}

export function setPorts(key: Int32Array, local: number, remote: number): void {
  key[FlowKey.PORTS] = (local << 16) | (remote & 0xffff)
}

/** The key under which an IPv4 endpoint is bound: its address (0 for any) and port, whoever the peer is, on any device. */
export function setIpv4Binding(key: Int32Array, address: Ipv4Address, port: number): void {
  setV4Mapped(key, FlowKey.LOCAL, address)
  setUnspecified(key, FlowKey.REMOTE)
  setPorts(key, port, 0)
  key[FlowKey.DEVICE] = 0
}

/** The key to look up an IPv4 flow by; `device` is the index of the one that the packet came by, 0 if none matters. */
export function setIpv4Flow(
  key: Int32Array,
  local: Ipv4Address,
  localPort: number,
  remote: Ipv4Address,
  remotePort: number,
  device: number,
): void {
  setV4Mapped(key, FlowKey.LOCAL, local)
  setV4Mapped(key, FlowKey.REMOTE, remote)
  setPorts(key, localPort, remotePort)
  key[FlowKey.DEVICE] = device
}

export function localPort(key: Int32Array): number {
  return key[FlowKey.PORTS]! >>> 16
}

export function remotePort(key: Int32Array): number {
  return key[FlowKey.PORTS]! & 0xffff
}

/** True for an IPv4 address: `::ffff:a.b.c.d`. */
export function isIpv4Local(key: Int32Array): boolean {
  return isV4Mapped(key, FlowKey.LOCAL)
}

/** True if the local address is one of IPv4 and the remote one is, too, or is not given. */
export function isIpv4Flow(key: Int32Array): boolean {
  return (
    (key[0]! | key[1]! | key[4]! | key[5]!) === 0 &&
    key[2] === V4_MAPPED_WORD &&
    (key[6] === V4_MAPPED_WORD || (key[6]! | key[7]!) === 0)
  )
}

/** True for `::`, any address of either family, and for `::ffff:0.0.0.0`, any address of IPv4. */
export function isWildcardLocal(key: Int32Array): boolean {
  return (key[0]! | key[1]! | key[3]!) === 0 && (key[2] === 0 || key[2] === V4_MAPPED_WORD)
}
