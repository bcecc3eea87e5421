/** A peer that speaks in raw segments over the wire of a host bench, and says what it got as values. */
import { expect } from 'chai'
import type { TcpConnectOptions, TcpListenOptions, TcpServer, TcpSocket } from '../../lib/index.ts'
import {
  parseTcpOptions,
  type SynOptions,
  TcpOptions,
  writeSack,
  writeSynOptions,
  writeTimestamps,
} from '../../lib/wire/tcp-options.ts'
import { HOST, type HostBench, PEER } from '../conformance/harness.ts'
import { type Bytes, decode, internetChecksum, ipv4, pseudoSum } from '../conformance/packets.ts'
import { tick } from './pair.ts'

export interface Sent {
  sport: number
  dport: number
  seq: number
  ack: number
  flags: string
  window: number
  /** The urgent pointer; counts only with U. */
  urgent: number
  data: Bytes
  options: TcpOptions
  /** Length of the IP packet. */
  size: number
  df: boolean
  tos: number
}

export interface Fields {
  seq?: number
  ack?: number
  /** Letters of FSRPAU and E (ECE), C (CWR); `'A'` by default. */
  flags?: string
  window?: number
  options?: Uint8Array | number[]
  data?: ArrayLike<number>
  sport?: number
  dport?: number
  dataOffset?: number
  checksum?: number
  urgent?: number
  src?: string
  dst?: string
  tos?: number
}

const BITS: Record<string, number> = { F: 1, S: 2, R: 4, P: 8, A: 16, U: 32, E: 64, C: 128 }

export function segment(fields: Fields): Bytes {
  const { seq = 0, ack = 0, flags = 'A', window = 65535, sport = 41000, dport = 80, urgent = 0 } = fields
  const options = Uint8Array.from(fields.options ?? [])
  const data = Uint8Array.from(fields.data ?? [])
  const headerLength = 20 + Math.ceil(options.length / 4) * 4
  const bytes = new Uint8Array(headerLength + data.length)
  const view = new DataView(bytes.buffer)
  view.setUint16(0, sport)
  view.setUint16(2, dport)
  view.setUint32(4, seq >>> 0)
  view.setUint32(8, ack >>> 0)
  view.setUint8(12, (fields.dataOffset ?? headerLength / 4) << 4)
  view.setUint8(
    13,
    [...flags].reduce((all, letter) => all | BITS[letter]!, 0),
  )
  view.setUint16(14, window)
  view.setUint16(18, urgent)
  bytes.set(options, 20)
  bytes.set(data, headerLength)
  const { src = PEER, dst = HOST, tos = 0 } = fields
  view.setUint16(16, fields.checksum ?? internetChecksum(bytes, pseudoSum(src, dst, 6, bytes.length)))
  return ipv4({ src, dst, protocol: 6, tos }, bytes)
}

export function synOptions(options: Partial<SynOptions>): Uint8Array {
  const bytes = new Uint8Array(40)
  const length = writeSynOptions(bytes, 0, {
    mss: 0,
    windowScale: -1,
    sackPermitted: false,
    timestamps: false,
    tsValue: 0,
    tsEcho: 0,
    ...options,
  })
  return bytes.slice(0, length)
}

export function timestamps(value: number, echo: number): Uint8Array {
  const bytes = new Uint8Array(12)
  writeTimestamps(bytes, 0, value, echo)
  return bytes
}

export function sack(...blocks: [number, number][]): Uint8Array {
  const bytes = new Uint8Array(40)
  const left = Int32Array.from(blocks, ([from]) => from | 0)
  const right = Int32Array.from(blocks, ([, to]) => to | 0)
  return bytes.slice(0, writeSack(bytes, 0, left, right, blocks.length))
}

export function read(packet: Bytes): Sent {
  const { payload, length, df, tos } = decode(packet)
  const view = new DataView(payload.buffer, payload.byteOffset, payload.length)
  const headerLength = (view.getUint8(12) >>> 4) * 4
  const options = new TcpOptions()
  expect(parseTcpOptions(payload, 20, headerLength, options), 'options').to.equal(true)
  const bits = view.getUint8(13)
  return {
    sport: view.getUint16(0),
    dport: view.getUint16(2),
    seq: view.getUint32(4),
    ack: view.getUint32(8),
    flags: [...'FSRPAUEC'].filter((letter) => (bits & BITS[letter]!) !== 0).join(''),
    window: view.getUint16(14),
    urgent: view.getUint16(18),
    data: payload.slice(headerLength),
    options,
    size: length,
    df,
    tos,
  }
}

/** Numbers in a segment are relative to what each end began with: 0 is the SYN. */
export class RawPeer {
  readonly bench: HostBench
  readonly port: number
  readonly localPort: number
  /** Our initial sequence number, and theirs. */
  isn = 1_000_000
  theirs = 0
  window = 65535
  /** With timestamps: our clock; segments carry it. */
  clock = -1
  lastTs = 0

  constructor(bench: HostBench, port: number, localPort = 41000) {
    this.bench = bench
    this.port = port
    this.localPort = localPort
  }

  /** Sends a segment with relative numbers and gives what the stack sent after it. */
  send(fields: Fields = {}): Sent[] {
    this.bench.tun.push(this.build(fields))
    return this.take()
  }

  build({ seq = 0, ack, flags = 'A', ...rest }: Fields): Bytes {
    const options = rest.options ?? (this.clock >= 0 ? timestamps(this.clock, this.lastTs) : [])
    return segment({
      window: this.window,
      ...rest,
      options,
      flags,
      seq: this.isn + seq,
      ack: flags.includes('A') ? this.theirs + (ack ?? 0) : 0,
      sport: this.localPort,
      dport: this.port,
    })
  }

  /** What the stack has sent to us, numbers relative. */
  take(): Sent[] {
    this.bench.settle()
    return this.bench.tun.take().map((packet) => {
      const sent = read(packet)
      if (sent.options.timestamps) this.lastTs = sent.options.tsValue
      sent.ack = sent.flags.includes('A') ? (sent.ack - this.isn) >>> 0 : 0
      sent.seq = (sent.seq - this.theirs) >>> 0
      return sent
    })
  }

  /** Opens a connection to a listening stack: SYN, SYN-ACK, ACK. Gives the SYN-ACK. */
  open(options: Partial<SynOptions> = { mss: 1460 }): Sent {
    if (options.timestamps) {
      this.clock = 1000
      options.tsValue = this.clock
    }
    const [answer, ...more] = this.send({ flags: 'S', options: synOptions(options) })
    expect(more).to.have.length(0)
    expect(answer?.flags).to.equal('SA')
    this.theirs = answer!.seq
    answer!.seq = 0
    expect(answer!.ack).to.equal(1)
    expect(this.send({ seq: 1, ack: 1 })).to.have.length(0)
    return answer!
  }
}

/** Listens, and a raw peer connects. */
export async function accepted(
  bench: HostBench,
  options: Partial<SynOptions> = { mss: 1460 },
  listen: Partial<TcpListenOptions> = {},
): Promise<{ peer: RawPeer; socket: TcpSocket; server: TcpServer }> {
  const server = bench.stack.tcp.listen({ port: 80, ...listen })
  const peer = new RawPeer(bench, server.port)
  peer.open(options)
  const socket = await server.accept()
  return { peer, socket, server }
}

/** The stack connects to the raw peer, which answers its SYN with `options`. */
export async function connected(
  bench: HostBench,
  options: Partial<SynOptions> = { mss: 1460 },
  connect: Partial<TcpConnectOptions> = {},
): Promise<{ peer: RawPeer; socket: TcpSocket; syn: Sent }> {
  const { peer, syn, opening } = await dialled(bench, connect)
  if (options.timestamps) {
    peer.clock = 1000
    options = { ...options, tsValue: 1000, tsEcho: syn.options.tsValue }
  }
  peer.send({ flags: 'SA', ack: 1, options: synOptions(options) })
  return { peer, syn, socket: await opening }
}

/** The stack has sent its SYN. */
export async function dialled(
  bench: HostBench,
  connect: Partial<TcpConnectOptions> = {},
): Promise<{ peer: RawPeer; syn: Sent; opening: Promise<TcpSocket> }> {
  const opening = bench.stack.tcp.connect({ address: PEER, port: 7000, ...connect })
  opening.catch(() => {}) // whoever is interested waits for it
  await tick()
  bench.settle()
  const [syn, ...more] = bench.tun.take().map(read)
  expect(more).to.have.length(0)
  expect(syn?.flags).to.match(/^S(EC)?$/)
  const peer = new RawPeer(bench, syn!.sport, 7000)
  peer.theirs = syn!.seq
  peer.lastTs = syn!.options.tsValue
  return { peer, syn: syn!, opening }
}

/** The code of what a promise rejects with. */
export async function codeOf(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise
    return undefined
  } catch (error) {
    return (error as { code?: unknown }).code
  }
}
