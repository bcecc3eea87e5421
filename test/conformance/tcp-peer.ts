/**
 * A TCP peer that a test drives by hand over the wire of a host: it builds segments and reads them without the code
 * under test. Numbers are relative: 0 is the SYN of the end that they belong to. Time passes only when told to.
 */
import { expect } from 'chai'
import { MILLISECOND, type StackOptions, type TcpSocket } from '../../lib/index.ts'
import { HOST, HostBench, PEER } from './harness.ts'
import { type Bytes, concat, decode, internetChecksum, ipv4, pseudoSum } from './packets.ts'

export const ECHO = 7
export const DISCARD = 9
export const CHARGEN = 19
/** Accepted, and neither read from nor written to: {@link TcpBench.held}. */
export const HOLD = 10
/** Nobody listens. */
export const CLOSED = 81

export interface Options {
  mss?: number
  scale?: number
  sackOk?: boolean
  /** Value and echo. */
  ts?: readonly [value: number, echo: number]
  sack?: readonly (readonly [left: number, right: number])[]
}

export interface Segment {
  /** Milliseconds. */
  at: number
  sport: number
  dport: number
  seq: number
  ack: number
  /** Letters of FSRPAUEC. */
  flags: string
  window: number
  urgent: number
  data: Bytes
  options: Options
  df: boolean
  id: number
  tos: number
  /** The kinds of its options, in order. */
  kinds: number[]
}

export interface Fields {
  seq?: number
  ack?: number
  /** `'A'` by default. */
  flags?: string
  window?: number
  data?: ArrayLike<number>
  options?: Options
  /** In place of what `options` says. */
  rawOptions?: readonly number[]
  checksum?: number
  /** In words. */
  dataOffset?: number
  reserved?: number
  urgent?: number
  tos?: number
  src?: string
  dst?: string
  sport?: number
  dport?: number
}

const LETTERS = 'FSRPAUEC'

const word = (n: number): number[] => [(n >>> 24) & 255, (n >>> 16) & 255, (n >>> 8) & 255, n & 255]

/** Options as bytes, each with the NOPs that make words of it. `base`: what SACK blocks count from. */
function optionBytes({ mss, scale, sackOk, ts, sack }: Options, base: number): number[] {
  const bytes: number[] = []
  if (mss !== undefined) bytes.push(2, 4, mss >>> 8, mss & 255)
  if (scale !== undefined) bytes.push(1, 3, 3, scale)
  if (sackOk === true) bytes.push(1, 1, 4, 2)
  if (ts !== undefined) bytes.push(1, 1, 8, 10, ...word(ts[0]), ...word(ts[1]))
  if (sack !== undefined) {
    bytes.push(1, 1, 5, 2 + 8 * sack.length)
    for (const [left, right] of sack) bytes.push(...word(base + left), ...word(base + right))
  }
  return bytes
}

/** A segment with absolute numbers. */
export function tcpSegment(fields: Fields, base = 0): Bytes {
  const { seq = 0, ack = 0, flags = 'A', window = 65535, data = [], urgent = 0, tos = 0 } = fields
  const { src = PEER, dst = HOST, sport = 41000, dport = ECHO } = fields
  const options = [...(fields.rawOptions ?? optionBytes(fields.options ?? {}, base))]
  while (options.length % 4 !== 0) options.push(0)
  const bits = [...flags].reduce((sum, letter) => sum | (1 << LETTERS.indexOf(letter)), 0)
  const offset = fields.dataOffset ?? 5 + options.length / 4
  const bytes = concat(
    [sport >>> 8, sport & 255, dport >>> 8, dport & 255, ...word(seq), ...word(ack)],
    [
      (offset << 4) | (fields.reserved ?? 0),
      bits,
      window >>> 8,
      window & 255,
      0,
      0,
      urgent >>> 8,
      urgent & 255,
    ],
    options,
    data,
  )
  const check = fields.checksum ?? internetChecksum(bytes, pseudoSum(src, dst, 6, bytes.length))
  bytes[16] = check >>> 8
  bytes[17] = check
  return ipv4({ src, dst, protocol: 6, tos }, bytes)
}

/** Reads a segment, which must be correct; absolute numbers. */
export function readSegment(packet: Bytes, at = 0): Segment {
  const { payload: bytes, df, id, tos, protocol } = decode(packet)
  expect(protocol, 'a TCP segment').to.equal(6)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const headerLength = (bytes[12]! >>> 4) * 4
  expect(headerLength, 'data offset').to.be.within(20, bytes.length)
  expect(bytes[12]! & 15, 'reserved bits').to.equal(0)
  const options: Options = {}
  const kinds: number[] = []
  for (let i = 20; i < headerLength; ) {
    const kind = bytes[i]!
    kinds.push(kind)
    if (kind === 0) {
      expect(Array.from(bytes.subarray(i, headerLength)), 'padding').to.deep.equal(
        Array(headerLength - i).fill(0),
      )
      break
    }
    if (kind === 1) {
      i++
      continue
    }
    const length = bytes[i + 1]!
    expect(length, 'option length').to.be.within(2, headerLength - i)
    if (kind === 2) options.mss = view.getUint16(i + 2)
    else if (kind === 3) options.scale = bytes[i + 2]!
    else if (kind === 4) options.sackOk = true
    else if (kind === 8) options.ts = [view.getUint32(i + 2), view.getUint32(i + 6)]
    else if (kind === 5) {
      options.sack = Array.from({ length: (length - 2) / 8 }, (_, n) => [
        view.getUint32(i + 2 + 8 * n),
        view.getUint32(i + 6 + 8 * n),
      ])
    } else expect.fail(`option ${kind} was never offered`)
    i += length
  }
  return {
    at,
    sport: view.getUint16(0),
    dport: view.getUint16(2),
    seq: view.getUint32(4),
    ack: view.getUint32(8),
    flags: [...LETTERS].filter((_, bit) => bytes[13]! & (1 << bit)).join(''),
    window: view.getUint16(14),
    urgent: view.getUint16(18),
    data: bytes.slice(headerLength),
    options,
    df,
    id,
    tos,
    kinds,
  }
}

/** Lets promises that are due be settled. */
function tick(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

/** Whom a peer talks to. */
export interface PeerHost {
  /** Milliseconds. */
  readonly time: number
  /** Packets that the host will find on its wire when time goes on. */
  push(...packets: Bytes[]): void
  /** Lets milliseconds pass; what the host sent meanwhile. */
  elapse(milliseconds?: number): Promise<Segment[]>
}

/** A host with services on its TUN. */
export class TcpBench extends HostBench implements PeerHost {
  /** Connections to {@link HOLD}. */
  readonly held: TcpSocket[] = []
  /** What {@link DISCARD} has got, of all connections. */
  discarded: number[] = []

  constructor(options: StackOptions & { mtu?: number } = {}) {
    super(options)
    this.#serve(ECHO, async (socket) => {
      for await (const chunk of socket) await socket.write(chunk)
      socket.end()
    })
    this.#serve(DISCARD, async (socket) => {
      for await (const chunk of socket) this.discarded.push(...chunk)
      socket.end()
    })
    this.#serve(CHARGEN, async (socket) => {
      for (let at = 0; ; at += 10_000) await socket.write(chargen(at, 10_000))
    })
    this.#serve(HOLD, async (socket) => {
      this.held.push(socket)
    })
  }

  get time(): number {
    return this.clock.now() / MILLISECOND
  }

  push(...packets: Bytes[]): void {
    this.tun.push(...packets)
  }

  #serve(port: number, service: (socket: TcpSocket) => Promise<void>): void {
    const server = this.stack.tcp.listen({ port })
    void (async () => {
      for await (const socket of server) service(socket).catch(() => {})
    })()
  }

  /** Lets milliseconds pass, and everybody do what he has to do; what the stack sent meanwhile, with its times. */
  async elapse(milliseconds = 0): Promise<Segment[]> {
    const { clock, tun } = this
    const sent: Segment[] = []
    const take = (): void => {
      for (const packet of tun.take())
        if (packet[9] === 6) sent.push(readSegment(packet, clock.now() / MILLISECOND))
    }
    const end = clock.now() + milliseconds * MILLISECOND
    for (;;) {
      clock.advance(0)
      take()
      await tick()
      clock.advance(0)
      take()
      const next = clock.untilNext()
      if (next === undefined || clock.now() + next > end) break
      clock.advance(next)
    }
    clock.advance(end - clock.now())
    take()
    await tick()
    take()
    return sent
  }
}

/** The byte stream of {@link CHARGEN} from `at` on. */
export function chargen(at: number, n: number): Bytes {
  return Uint8Array.from({ length: n }, (_, i) => 32 + ((at + i) % 95))
}

/** One end of one connection. */
export class Peer {
  readonly host: PeerHost
  readonly port: number
  readonly ownPort: number
  /** Our initial sequence number, and the stack's. */
  isn: number
  irs = 0
  /** Bytes we have sent and received, SYN counted: the next numbers. */
  next = 0
  received = 0
  window = 65535
  /** The timestamp of our segments, if the connection has them; it grows by itself with time. */
  timestamps = false
  echo = 0

  constructor(host: PeerHost, port: number, { ownPort = 41000, isn = 1_000_000 } = {}) {
    this.host = host
    this.port = port
    this.ownPort = ownPort
    this.isn = isn
  }

  get clock(): number {
    return 5000 + Math.floor(this.host.time)
  }

  build(fields: Fields = {}): Bytes {
    const { seq = this.next, ack = this.received, flags = 'A', window = this.window } = fields
    const options = fields.options ?? (this.timestamps ? { ts: [this.clock, this.echo] as const } : {})
    return tcpSegment(
      {
        ...fields,
        options,
        flags,
        window,
        seq: this.isn + seq,
        ack: flags.includes('A') ? this.irs + ack : (fields.ack ?? 0),
        sport: this.ownPort,
        dport: this.port,
      },
      this.irs,
    )
  }

  /** Sends a segment, at the next number and acknowledging all unless told otherwise; what comes back at once. */
  async send(fields: Fields = {}, milliseconds = 0): Promise<Segment[]> {
    return this.exchange([fields], milliseconds)
  }

  /** The same for several in one burst. */
  async exchange(list: readonly Fields[], milliseconds = 0): Promise<Segment[]> {
    this.host.push(...list.map((fields) => this.build(fields)))
    return this.elapse(milliseconds)
  }

  /** Sends data at the next number, and goes on from there. */
  async write(data: ArrayLike<number>, fields: Fields = {}, milliseconds = 0): Promise<Segment[]> {
    const seq = this.next
    this.next += data.length
    return this.send({ seq, data, flags: 'PA', ...fields }, milliseconds)
  }

  /** What the stack sends to this peer while time passes, in relative numbers. */
  async elapse(milliseconds = 0): Promise<Segment[]> {
    const all = await this.host.elapse(milliseconds)
    return all
      .filter(({ sport, dport }) => sport === this.port && dport === this.ownPort)
      .map((s) => this.relative(s))
  }

  relative(segment: Segment): Segment {
    if (segment.options.ts !== undefined) this.echo = segment.options.ts[0]
    const options = { ...segment.options }
    if (options.sack !== undefined) {
      options.sack = options.sack.map(([left, right]) => [(left - this.isn) >>> 0, (right - this.isn) >>> 0])
    }
    const hasAck = segment.flags.includes('A')
    return {
      ...segment,
      options,
      seq: (segment.seq - this.irs) >>> 0,
      ack: hasAck ? (segment.ack - this.isn) >>> 0 : 0,
    }
  }

  /** SYN, SYN-ACK, ACK. Gives the SYN-ACK, its number absolute. */
  async open(options: Options = { mss: 1460 }): Promise<Segment> {
    const [answer, ...more] = await this.send({ flags: 'S', seq: 0, options })
    expect(more, 'after the SYN-ACK').to.deep.equal([])
    expect(answer?.flags).to.equal('SA')
    this.irs = answer!.seq
    this.next = this.received = 1
    this.timestamps = answer!.options.ts !== undefined
    const after = await this.send()
    this.take(after)
    return answer!
  }

  /** Reckons data as received, and gives what is new; nothing may be missing before it. */
  take(segments: readonly Segment[]): Bytes {
    const fresh: Bytes[] = []
    for (const { seq, data } of segments) {
      const old = this.received - seq
      if (data.length === 0 || old >= data.length) continue
      expect(old, 'bytes that are missing before a segment').to.be.at.least(0)
      fresh.push(data.subarray(old))
      this.received += data.length - old
    }
    return concat(...fresh)
  }

  /** Whether the connection lives: a byte out of nothing is acknowledged. */
  async isAlive(): Promise<boolean> {
    const segments = await this.write([1], {}, 300)
    this.take(segments)
    return segments.some(({ flags, ack }) => !flags.includes('R') && ack === this.next)
  }
}

/** A connection to `port`, open. */
export async function open(
  host: PeerHost,
  port: number,
  options: Options = { mss: 1460 },
  own: { ownPort?: number; isn?: number } = {},
): Promise<Peer> {
  const peer = new Peer(host, port, own)
  await peer.open(options)
  return peer
}

/** Segments in short, for comparisons: `A 1:5 ack 7`. */
export function brief(segments: readonly Segment[]): string[] {
  return segments.map(({ flags, seq, ack, data }) => {
    const range = data.length > 0 ? `${seq}:${seq + data.length}` : `${seq}`
    return `${flags} ${range}${flags.includes('A') ? ` ack ${ack}` : ''}`
  })
}
