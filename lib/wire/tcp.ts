/**
 * The TCP header (RFC 9293 §3.1), as far as it is printed and looked at from below.
 */
import { DropReason } from './drop-reason.ts'
import { bitFields, layoutBytes, structure, u16, u32 } from './layout.ts'

interface Layout {
  sourcePort: number
  destinationPort: number
  sequence: number
  acknowledgment: number
  offsetFlags: { dataOffset: number; reserved: number; flags: number }
  window: number
  checksum: number
  urgent: number
}

const header = structure<Layout>([
  u16('sourcePort'),
  u16('destinationPort'),
  u32('sequence'),
  u32('acknowledgment'),
  bitFields<Layout['offsetFlags']>(2, 'offsetFlags', [
    ['dataOffset', 4],
    ['reserved', 4],
    ['flags', 8],
  ]),
  u16('window'),
  u16('checksum'),
  u16('urgent'),
])

export const TCP_SOURCE_PORT = header.offsetOf('sourcePort')
export const TCP_DESTINATION_PORT = header.offsetOf('destinationPort')
export const TCP_SEQUENCE = header.offsetOf('sequence')
export const TCP_ACKNOWLEDGMENT = header.offsetOf('acknowledgment')
/** Header length in 32-bit words, in the high four bits. */
export const TCP_DATA_OFFSET = header.offsetOf('offsetFlags')
export const TCP_FLAGS = TCP_DATA_OFFSET + 1
export const TCP_WINDOW = header.offsetOf('window')
export const TCP_CHECKSUM = header.offsetOf('checksum')
export const TCP_URGENT = header.offsetOf('urgent')
/** Without options. */
export const TCP_MIN_HEADER = header.span

/** Bits of the byte at {@link TCP_FLAGS}. */
export const TcpFlag = { FIN: 1, SYN: 2, RST: 4, PSH: 8, ACK: 16, URG: 32, ECE: 64, CWR: 128 } as const

/** Kinds of TCP options. */
export const TcpOption = {
  END: 0,
  NOP: 1,
  MSS: 2,
  WINDOW_SCALE: 3,
  SACK_PERMITTED: 4,
  SACK: 5,
  TIMESTAMPS: 8,
  FAST_OPEN: 34,
} as const

/** Whether the header in `bytes[start…end)` may be read: `NONE` or `PKT_TOO_SMALL`. */
export function checkTcpHeader(bytes: Uint8Array, start: number, end: number): DropReason {
  if (end - start < TCP_MIN_HEADER) return DropReason.PKT_TOO_SMALL
  const headerLength = (bytes[start + TCP_DATA_OFFSET]! >>> 4) * 4
  return headerLength < TCP_MIN_HEADER || headerLength > end - start
    ? DropReason.PKT_TOO_SMALL
    : DropReason.NONE
}

/** A header as plain data. Sequence numbers are unsigned here. */
export interface TcpHeader {
  /** Bytes, options included. */
  headerLength: number
  sourcePort: number
  destinationPort: number
  sequence: number
  acknowledgment: number
  flags: number
  window: number
  checksum: number
  urgent: number
  options: Uint8Array
}

/** The header of the segment `bytes[start…end)`, or why it is dropped. The checksum is not verified. */
export function parseTcpHeader(bytes: Uint8Array, start: number, end: number): TcpHeader | DropReason {
  const bad = checkTcpHeader(bytes, start, end)
  if (bad !== DropReason.NONE) return bad
  const { offsetFlags, ...fields } = header.decode(layoutBytes(bytes), start)
  const headerLength = offsetFlags.dataOffset * 4
  const options = bytes.slice(start + TCP_MIN_HEADER, start + headerLength)
  return { headerLength, ...fields, flags: offsetFlags.flags, options }
}

const flagLetters = 'FSRP.UEW'
const BAD_OPTION = '[bad opt]'

/**
 * `10.0.0.1.5000 > 10.0.0.2.80: Flags [S], seq 1, win 64240, options [mss 1460], length 0`, given the addresses as
 * text. `claimed` is the length of the IP body.
 */
export function formatTcp(
  bytes: Uint8Array,
  start: number,
  end: number,
  from: string,
  to: string,
  claimed: number,
): string {
  const tcp = parseTcpHeader(bytes, start, end)
  if (typeof tcp === 'number') {
    if (end - start < TCP_MIN_HEADER) return `${from} > ${to}: [|tcp]`
    const { sourcePort, destinationPort, offsetFlags } = header.decode(layoutBytes(bytes), start)
    const length = offsetFlags.dataOffset * 4
    return `${from}.${sourcePort} > ${to}.${destinationPort}: [bad hdr length ${length}]`
  }
  const { flags } = tcp
  const length = claimed - tcp.headerLength
  const letters = [...flagLetters].filter((_, bit) => flags & (1 << bit)).join('')
  let line = `${from}.${tcp.sourcePort} > ${to}.${tcp.destinationPort}: Flags [${letters || 'none'}]`
  // A segment that takes no sequence space is told by what it acknowledges.
  const takesSpace = length > 0 || flags & (TcpFlag.SYN | TcpFlag.FIN | TcpFlag.RST)
  if (takesSpace) line += `, seq ${tcp.sequence}${length > 0 ? `:${(tcp.sequence + length) >>> 0}` : ''}`
  if (flags & TcpFlag.ACK) line += `, ack ${tcp.acknowledgment}`
  line += `, win ${tcp.window}`
  if (flags & TcpFlag.URG) line += `, urg ${tcp.urgent}`
  if (tcp.options.length > 0) {
    const options = formatTcpOptions(tcp.options)
    // As tcpdump, which gives up in the middle of the line.
    if (options.endsWith(BAD_OPTION)) return `${line}, options [${options}`
    line += `, options [${options}]`
  }
  return `${line}, length ${length}`
}

/** `mss 1460,nop,wscale 7`; what cannot be read ends the list with `[bad opt]`. */
export function formatTcpOptions(bytes: Uint8Array): string {
  const texts: string[] = []
  for (let at = 0; at < bytes.length; ) {
    const kind = bytes[at]!
    if (kind === TcpOption.END) {
      texts.push('eol')
      break
    }
    if (kind === TcpOption.NOP) {
      texts.push('nop')
      at++
      continue
    }
    const length = bytes[at + 1] ?? 0
    if (length < 2 || at + length > bytes.length) {
      texts.push(BAD_OPTION)
      break
    }
    texts.push(formatTcpOption(kind, bytes.subarray(at + 2, at + length)))
    at += length
  }
  return texts.join(',')
}

function formatTcpOption(kind: number, data: Uint8Array): string {
  const view = new DataView(data.buffer, data.byteOffset, data.length)
  const hex = Array.from(data, (byte) => byte.toString(16).padStart(2, '0')).join('')
  if (kind === TcpOption.MSS && data.length === 2) return `mss ${view.getUint16(0)}`
  if (kind === TcpOption.WINDOW_SCALE && data.length === 1) return `wscale ${data[0]}`
  if (kind === TcpOption.SACK_PERMITTED && data.length === 0) return 'sackOK'
  if (kind === TcpOption.TIMESTAMPS && data.length === 8) {
    return `TS val ${view.getUint32(0)} ecr ${view.getUint32(4)}`
  }
  if (kind === TcpOption.SACK && data.length % 8 === 0) {
    let text = `sack ${data.length / 8} `
    for (let at = 0; at < data.length; at += 8) text += `{${view.getUint32(at)}:${view.getUint32(at + 4)}}`
    return text
  }
  if (kind === TcpOption.FAST_OPEN) return data.length === 0 ? 'tfo  cookiereq' : `tfo  cookie ${hex}`
  return hex === '' ? `unknown-${kind}` : `unknown-${kind} 0x${hex}`
}
