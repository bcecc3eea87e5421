/**
 * Addresses above IP. Transports, endpoints and demultiplexing know one form only: four 32-bit words in
 * network order, an IPv4 address being v4-mapped (`::ffff:a.b.c.d`, RFC 4291 §2.5.5.2). So a table of
 * endpoints serves both families and a dual-stack socket needs no case of its own.
 */
import type { Ipv4Address } from './ipv4-address.ts'

/** Third word of a v4-mapped address: `0:0:ffff`. */
export const V4_MAPPED_WORD = 0x0000ffff

/** Four 32-bit words, most significant first; `Int32Array` of length 4 or more, read from an offset. */
export type IpAddressWords = Int32Array

export function setV4Mapped(words: IpAddressWords, offset: number, address: Ipv4Address): void {
  words[offset] = 0
  words[offset + 1] = 0
  words[offset + 2] = V4_MAPPED_WORD
  words[offset + 3] = address
}

/** The wildcard: `::`, which also stands for 0.0.0.0. */
export function setUnspecified(words: IpAddressWords, offset: number): void {
  words[offset] = 0
  words[offset + 1] = 0
  words[offset + 2] = 0
  words[offset + 3] = 0
}

export function isV4Mapped(words: IpAddressWords, offset: number): boolean {
  return words[offset] === 0 && words[offset + 1] === 0 && words[offset + 2] === V4_MAPPED_WORD
}
