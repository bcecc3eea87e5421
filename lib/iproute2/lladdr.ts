/** Addresses of the link layer as iproute2 reads them: bytes in hexadecimal between colons, or one of IPv4. */
import { parseParts } from './grammar.ts'

/** The bytes, at most `most` of them; or what cannot be read, for a complaint. */
export function parseLinkAddress(word: string, most: number): number[] | string {
  if (word.includes('.')) {
    const address = parseParts(word)
    return address === undefined ? word : [24, 16, 8, 0].map((shift) => (address >>> shift) & 0xff)
  }
  const bytes: number[] = []
  for (const part of word.split(':').slice(0, most)) {
    // As `scanf` does, which doesn't mind what follows.
    const match = /^\s*([+-]?)(?:0[xX])?([0-9a-fA-F]+)/.exec(part)
    const value = match === null ? -1 : Number.parseInt(match[2]!, 16)
    if (value < 0 || value > 255 || (match![1] === '-' && value !== 0)) return part
    bytes.push(value)
  }
  return bytes
}

export function invalidLinkAddress(part: string): string {
  return `"${part}" is invalid lladdr.`
}

export function formatLinkAddress(bytes: readonly number[]): string {
  return bytes.map((byte) => byte.toString(16).padStart(2, '0')).join(':')
}
