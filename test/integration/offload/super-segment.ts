/** Super-segments to order, as a sender with offloads hands them to a device. */
import { parseIpv4 } from '../../../lib/address/ipv4-address.ts'
import { checksum, fold, pseudoHeaderSum, sum } from '../../../lib/wire/checksum.ts'
import { ip, pattern } from '../oracle/build-packet.ts'
import { type Frame, NEEDS_CSUM, VnetGso } from './router-protocol.ts'

export interface SuperSegment {
  protocol: 'tcp' | 'udp'
  payload: number
  gsoSize: number
  /** Differs the bytes. */
  seed?: number
  id?: number
  df?: boolean
  tos?: number
  ttl?: number
  ipOptions?: readonly number[]
  flags?: number
  sequence?: number
  window?: number
  urgent?: number
  /** A multiple of 4 bytes. */
  tcpOptions?: readonly number[]
  /** Sets `VIRTIO_NET_HDR_GSO_ECN`. */
  ecn?: boolean
  /** Makes the TCP checksum of the first segment come out as zero. */
  zeroChecksum?: boolean
}

const SOURCE = '10.1.0.2'
const DESTINATION = '10.2.0.2'

export function frameOf(options: SuperSegment): Frame {
  const { protocol, seed = 0, ipOptions = [], tcpOptions = [], gsoSize } = options
  const tcp = protocol === 'tcp'
  const headerLength = tcp ? 20 + tcpOptions.length : 8
  const transport = new Uint8Array(headerLength + options.payload)
  const view = new DataView(transport.buffer)
  view.setUint16(0, 40_000)
  view.setUint16(2, tcp ? 80 : 9000)
  transport.set(pattern(options.payload, seed), headerLength)
  if (tcp) {
    view.setUint32(4, options.sequence ?? 1000)
    view.setUint32(8, 0x89abcdef)
    view.setUint8(12, (headerLength / 4) << 4)
    view.setUint8(13, options.flags ?? 0x10)
    view.setUint16(14, options.window ?? 5000)
    view.setUint16(18, options.urgent ?? 0)
    transport.set(tcpOptions, 20)
  } else {
    view.setUint16(4, transport.length)
  }
  const number = tcp ? 6 : 17
  const pseudo = (length: number): number =>
    fold(pseudoHeaderSum(parseIpv4(SOURCE), parseIpv4(DESTINATION), number, length))
  const checksumOffset = tcp ? 16 : 6
  if (options.zeroChecksum === true) {
    // What the first segment lacks to all ones goes into its first word of payload.
    const first = headerLength + gsoSize
    view.setUint16(headerLength, 0)
    if (!tcp) view.setUint16(4, first)
    const rest = checksum(transport, 0, first, pseudo(first))
    if (!tcp) view.setUint16(4, transport.length)
    view.setUint16(headerLength, rest)
    if (fold(sum(transport, 0, first, pseudo(first))) !== 0xffff && tcp) throw new Error('not all ones')
  }
  view.setUint16(checksumOffset, pseudo(transport.length))
  const bytes = ip({
    src: SOURCE,
    dst: DESTINATION,
    protocol: number,
    id: options.id ?? 7,
    df: options.df ?? false,
    tos: options.tos ?? 0,
    ttl: options.ttl ?? 64,
    options: ipOptions,
    payload: transport,
  })
  const network = bytes.length - transport.length
  const segments = options.payload > gsoSize
  return {
    vnet: {
      flags: NEEDS_CSUM,
      gsoType: segments ? (tcp ? VnetGso.TCPV4 : VnetGso.UDP_L4) | (options.ecn ? VnetGso.ECN : 0) : 0,
      headerLength: network + headerLength,
      gsoSize: segments ? gsoSize : 0,
      checksumStart: network,
      checksumOffset,
    },
    bytes,
  }
}

/**
 * What is compared: everything but the identification of an ICMP error, which is anybody's guess, and what are
 * hints (the length of headers, that a checksum was verified).
 */
export function comparable({ vnet, bytes }: Frame): object {
  const copy = bytes.slice()
  if (bytes[9] === 1) copy.fill(0, 4, 6).fill(0, 10, 12)
  return {
    vnet: vnet === null ? null : { ...vnet, headerLength: 0, flags: vnet.flags & NEEDS_CSUM },
    bytes: copy,
  }
}
