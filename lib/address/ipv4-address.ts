/**
 * IPv4 addresses and prefixes. Inside the stack an address is one **signed** 32-bit integer whose most
 * significant byte is the first octet: V8 keeps those unboxed, and masks, equality and hashing work as they
 * are (compare by `>>> 0` where order matters). At the surface a program passes text, which `ip-num` validates.
 */
import { IPv4, IPv4CidrRange } from 'ip-num'
import { invalidArgument } from '../errors.ts'

/** An IPv4 address as a signed 32-bit integer, first octet in the top byte. */
export type Ipv4Address = number

export const INADDR_ANY: Ipv4Address = 0
export const INADDR_BROADCAST: Ipv4Address = -1
export const INADDR_LOOPBACK: Ipv4Address = 0x7f000001
export const INADDR_ALLHOSTS_GROUP: Ipv4Address = 0xe0000001 | 0

export interface Ipv4Prefix {
  address: Ipv4Address
  /** 0…32 */
  length: number
}

/**
 * The address in dotted decimal, as a program passes it.
 * @throws TunstackError `ERR_INVALID_ARG_VALUE`
 */
export function parseIpv4(text: string): Ipv4Address {
  try {
    if (typeof text !== 'string') throw new TypeError() // ip-num takes numbers too, here they would be a slip
    return Number(IPv4.fromString(text).getValue()) | 0
  } catch {
    throw invalidArgument('address', text, 'an IPv4 address in dotted decimal, such as 10.0.3.1')
  }
}

/**
 * `'10.0.3.1/24'`: address and prefix length. The host bits are kept. Without `/length` it is a /32.
 * @throws TunstackError `ERR_INVALID_ARG_VALUE`
 */
export function parseIpv4Prefix(text: string): Ipv4Prefix {
  if (typeof text !== 'string' || !text.includes('/')) return { address: parseIpv4(text), length: 32 }
  try {
    const range = IPv4CidrRange.fromCidr(text)
    const length = Number(range.getPrefix().value)
    return { address: parseIpv4(text.slice(0, text.indexOf('/'))), length }
  } catch {
    throw invalidArgument('prefix', text, 'an IPv4 prefix such as 10.0.3.1/24')
  }
}

export function formatIpv4(address: Ipv4Address): string {
  return `${address >>> 24}.${(address >>> 16) & 255}.${(address >>> 8) & 255}.${address & 255}`
}

/** The mask of a prefix length: `ipv4Mask(24)` is 255.255.255.0. */
export function ipv4Mask(length: number): Ipv4Address {
  return length === 0 ? 0 : (-1 << (32 - length)) | 0
}

/** 224.0.0.0/4 (RFC 1112). */
export function isMulticast(address: Ipv4Address): boolean {
  return (address & 0xf0000000) >>> 0 === 0xe0000000
}

/** 224.0.0.0/24: never forwarded, whatever the TTL (RFC 5771 §4). */
export function isLocalMulticast(address: Ipv4Address): boolean {
  return (address & 0xffffff00) >>> 0 === 0xe0000000
}

/** 127.0.0.0/8. */
export function isLoopback(address: Ipv4Address): boolean {
  return address >>> 24 === 127
}

export function isLimitedBroadcast(address: Ipv4Address): boolean {
  return address === -1
}

/** 0.0.0.0, "this host". The rest of 0.0.0.0/8 (RFC 1122 §3.2.1.3) Linux takes for ordinary addresses since 5.3. */
export function isZeronet(address: Ipv4Address): boolean {
  return address === 0
}

/** Reads 4 bytes in network order. */
export function readIpv4(bytes: Uint8Array, offset: number): Ipv4Address {
  return (bytes[offset]! << 24) | (bytes[offset + 1]! << 16) | (bytes[offset + 2]! << 8) | bytes[offset + 3]!
}

/** Writes 4 bytes in network order. */
export function writeIpv4(bytes: Uint8Array, offset: number, address: Ipv4Address): void {
  bytes[offset] = address >>> 24
  bytes[offset + 1] = address >>> 16
  bytes[offset + 2] = address >>> 8
  bytes[offset + 3] = address
}
