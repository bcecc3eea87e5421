/** What a test is to do: the client's options, as iperf3 writes them into JSON, and back. */
import { IperfError } from './control.ts'

export interface Parameters {
  udp: boolean
  /** Seconds at the beginning that are not counted. */
  omit: number
  /** Seconds; 0: until {@link bytes} or {@link blocks} have been sent. */
  time: number
  bytes: number
  blocks: number
  parallel: number
  reverse: boolean
  bidirectional: boolean
  /** Bytes of a write, or of a datagram. */
  length: number
  /** Bits per second of a stream; 0 for as fast as can be. */
  rate: number
  /** Socket buffers in bytes; 0: as the stack has it. */
  window: number
  tos: number
  noDelay: boolean
  /** Name of the congestion control; `''`: as the stack has it. */
  congestion: string
  /** Datagrams are numbered by 64 bits. */
  counters64: boolean
}

export const DEFAULT_TCP_LENGTH = 128 * 1024
export const DEFAULT_UDP_RATE = 1024 * 1024
/** Streams that iperf3 allows. */
export const MAX_STREAMS = 128
/** Bytes of a block that iperf3 allows. */
export const MAX_LENGTH = 1024 * 1024

export function parametersToJson(p: Parameters): object {
  return {
    [p.udp ? 'udp' : 'tcp']: true,
    omit: p.omit,
    time: p.time,
    num: p.bytes,
    blockcount: p.blocks,
    parallel: p.parallel,
    ...(p.reverse ? { reverse: true } : {}),
    ...(p.bidirectional ? { bidirectional: true } : {}),
    ...(p.window > 0 ? { window: p.window } : {}),
    len: p.length,
    ...(p.rate > 0 ? { bandwidth: p.rate } : {}),
    ...(p.tos > 0 ? { TOS: p.tos } : {}),
    ...(p.noDelay ? { nodelay: true } : {}),
    ...(p.congestion !== '' ? { congestion: p.congestion } : {}),
    ...(p.udp && p.counters64 ? { udp_counters_64bit: 1 } : {}),
    pacing_timer: 1000,
    client_version: '3.12',
  }
}

/** What a client asks for. @throws IperfError for what no test can be */
export function parametersFromJson(json: Record<string, unknown>): Parameters {
  const number = (name: string, most = Number.MAX_SAFE_INTEGER): number => {
    const value = json[name] ?? 0
    if (typeof value !== 'number' || !(value >= 0 && value <= most)) {
      throw new IperfError(`the client's parameter '${name}' is ${JSON.stringify(value)}`, 114)
    }
    return value
  }
  const udp = json['udp'] === true
  return {
    udp,
    omit: number('omit', 600),
    time: number('time', 86400),
    bytes: number('num'),
    blocks: number('blockcount'),
    parallel: Math.max(1, number('parallel', MAX_STREAMS)),
    reverse: json['reverse'] === true,
    bidirectional: json['bidirectional'] === true,
    length: number('len', MAX_LENGTH) || (udp ? 1460 : DEFAULT_TCP_LENGTH),
    rate: number('bandwidth'),
    window: number('window'),
    tos: number('TOS', 255),
    noDelay: json['nodelay'] === true || json['nodelay'] === 1,
    congestion: typeof json['congestion'] === 'string' ? json['congestion'] : '',
    counters64: number('udp_counters_64bit') !== 0,
  }
}

/** iperf3 numbers its streams 1, 3, 4, 5, … */
export function streamId(index: number): number {
  return index === 0 ? 1 : index + 2
}
