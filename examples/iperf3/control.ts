/**
 * iperf3's control connection: it opens with a cookie that names the test, then both ends tell each other in single
 * bytes where they are; parameters and results are JSON behind a length of four bytes.
 */
import { randomInt } from 'node:crypto'
import type { TcpSocket } from '../../lib/index.ts'

/** What the bytes mean; negative ones are signed. */
export const State = {
  TEST_START: 1,
  TEST_RUNNING: 2,
  TEST_END: 4,
  PARAM_EXCHANGE: 9,
  CREATE_STREAMS: 10,
  SERVER_TERMINATE: 11,
  CLIENT_TERMINATE: 12,
  EXCHANGE_RESULTS: 13,
  DISPLAY_RESULTS: 14,
  IPERF_DONE: 16,
  ACCESS_DENIED: -1,
  SERVER_ERROR: -2,
} as const

/** iperf3's numbers for what a server reports with SERVER_ERROR, and their texts. */
export const IPERF_ERRORS: Readonly<Record<number, string>> = {
  113: 'unable to send parameters to server',
  114: 'unable to receive parameters from client',
  117: 'unable to receive results',
  119: 'the client has terminated',
  120: 'the server has terminated',
  134: 'unable to set TCP_CONGESTION: this congestion control algorithm is not known there',
  201: 'unable to initialize stream',
}
export const IESETCONGESTION = 134

/** Characters of the cookie, and the NUL behind them. */
export const COOKIE_LENGTH = 37
const COOKIE_ALPHABET = 'abcdefghijklmnopqrstuvwxyz234567'

/** More JSON than any test needs is an attack, or not iperf3. */
const JSON_LIMIT = 1 << 20

export class IperfError extends Error {
  /** The number by which a server tells its client; 0 if there is none. */
  readonly number: number

  constructor(message: string, number = 0) {
    super(message)
    this.number = number
  }
}

export function newCookie(): Uint8Array {
  const cookie = new Uint8Array(COOKIE_LENGTH)
  for (let i = 0; i < COOKIE_LENGTH - 1; i++) cookie[i] = COOKIE_ALPHABET.charCodeAt(randomInt(32))
  return cookie
}

/** Reads exactly so many bytes; `null` if the connection ended before. */
export async function readExactly(socket: TcpSocket, count: number): Promise<Uint8Array | null> {
  const bytes = new Uint8Array(count)
  for (let have = 0; have < count; ) {
    const n = await socket.readInto(bytes, have)
    if (n === 0) return null
    have += n
  }
  return bytes
}

export class ControlConnection {
  readonly socket: TcpSocket
  readonly #peer: 'client' | 'server'

  constructor(socket: TcpSocket, peer: 'client' | 'server') {
    this.socket = socket
    this.#peer = peer
  }

  async read(count: number): Promise<Uint8Array> {
    const bytes = await readExactly(this.socket, count)
    if (bytes === null) throw new IperfError(`the ${this.#peer} has unexpectedly closed the connection`)
    return bytes
  }

  async readState(): Promise<number> {
    return ((await this.read(1))[0]! << 24) >> 24
  }

  async readJson(): Promise<Record<string, unknown>> {
    const [a, b, c, d] = await this.read(4)
    const length = ((a! << 24) | (b! << 16) | (c! << 8) | d!) >>> 0
    if (length > JSON_LIMIT) throw new IperfError(`${length} bytes of JSON from the ${this.#peer}`)
    const text = new TextDecoder().decode(await this.read(length))
    let value: unknown
    try {
      value = JSON.parse(text)
    } catch {
      value = undefined
    }
    if (typeof value !== 'object' || value === null) throw new IperfError(`the ${this.#peer} sent no JSON`)
    return value as Record<string, unknown>
  }

  async send(state: number): Promise<void> {
    await this.socket.write(Uint8Array.of(state & 0xff))
  }

  async sendJson(value: object): Promise<void> {
    const text = new TextEncoder().encode(JSON.stringify(value))
    const { length } = text
    await this.socket.write(Uint8Array.of(length >>> 24, length >>> 16, length >>> 8, length))
    await this.socket.write(text)
  }

  /** Tells the client why the test ends. */
  async sendError(number: number): Promise<void> {
    const bytes = new Uint8Array(9)
    const view = new DataView(bytes.buffer)
    view.setInt8(0, State.SERVER_ERROR)
    view.setInt32(1, number)
    await this.socket.write(bytes)
  }

  /** What a state that is not expected means for this end. */
  async fail(state: number): Promise<never> {
    switch (state) {
      case State.ACCESS_DENIED:
        throw new IperfError('the server is busy running a test. try again later')
      case State.CLIENT_TERMINATE:
        throw new IperfError('the client has terminated', 119)
      case State.SERVER_TERMINATE:
        throw new IperfError('the server has terminated', 120)
      case State.SERVER_ERROR: {
        const number = new DataView((await this.read(8)).buffer).getInt32(0)
        throw new IperfError(IPERF_ERRORS[number] ?? `the server reports iperf3 error ${number}`, number)
      }
      default:
        throw new IperfError(`the ${this.#peer} sent an unknown control message: ${state}`)
    }
  }
}
