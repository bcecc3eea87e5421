/**
 * Names for guests, at port 53 of the gateway's address: names of the program's own, and what the host's resolvers say,
 * passed on as it is. Which address was the answer to which name is remembered, so that a program can decide by names.
 */
import { createSocket, type Socket as DatagramSocket } from 'node:dgram'
import { getServers } from 'node:dns'
import { connect, isIPv4, isIPv6, type Socket } from 'node:net'
import {
  AUTHORITATIVE_ANSWER,
  decode,
  encode,
  type Packet as Message,
  RECURSION_AVAILABLE,
  RECURSION_DESIRED,
} from 'dns-packet'
import { formatIpv4, type Ipv4Address, parseIpv4 } from '../../address/ipv4-address.ts'
import type { TcpServer } from '../../tcp/tcp-server.ts'
import type { TcpSocket } from '../../tcp/tcp-socket.ts'
import type { UdpSocket } from '../../udp/udp-socket.ts'
import type { GatewayContext } from './context.ts'
import type { GatewayEndpoint } from './options.ts'
import type { NamesOfAddresses } from './policy.ts'

const DNS_PORT = 53
/** Milliseconds that one resolver is waited for, and how often all of them are asked. */
const PATIENCE = 3000
const ROUNDS = 2
/** Questions that are waited for at a time; those beyond are lost, as datagrams are. */
const MAX_PENDING = 256
/** Connections of guests at a time, and milliseconds that one may say nothing. */
const MAX_CONNECTIONS = 32
const IDLE = 10_000
/** Addresses whose names are remembered, and names of each. */
const MAX_ADDRESSES = 4096
const MAX_NAMES = 16
/** Seconds that an answer of the program's own holds. */
const OWN_TTL = 60
const HEADER = 12
const SERVFAIL = 2

/** How the host reaches somebody: asks, and gives the answer. */
type Transport = (question: Buffer, server: GatewayEndpoint) => Promise<Buffer>

export class Resolver implements NamesOfAddresses {
  readonly #gateway: GatewayContext
  readonly #servers: readonly GatewayEndpoint[]
  readonly #own: ReadonlyMap<string, readonly string[]>
  /** Names that had an address as their answer, the latest first; the address that was asked for longest ago first. */
  readonly #names = new Map<Ipv4Address, string[]>()
  readonly #socket: UdpSocket
  readonly #server: TcpServer
  readonly #connections = new Set<TcpSocket>()
  readonly #asking = new Set<{ destroy(): void }>()
  #pending = 0
  #closed = false

  /** @throws TunstackError `EADDRINUSE` if the stack has a server of names already */
  constructor(gateway: GatewayContext) {
    this.#gateway = gateway
    const { settings, stack } = gateway
    const { servers, names } = settings.dns!
    this.#servers = servers.length > 0 ? servers : serversOfHost()
    this.#own = names
    const address = formatIpv4(settings.prefix.address)
    this.#socket = stack.udp.bind({
      address,
      port: DNS_PORT,
      onMessage: ({ data, address: guest, port }) => {
        if (this.#pending >= MAX_PENDING) return
        void this.#answer(Buffer.from(data), overUdp(this.#asking)).then((answer) => {
          if (answer !== null && !this.#closed) this.#socket.trySend(answer, { address: guest, port })
        })
      },
    })
    try {
      this.#server = stack.tcp.listen({ address, port: DNS_PORT })
    } catch (error) {
      this.#socket.close()
      throw error
    }
    void this.#accept()
  }

  namesOf(address: Ipv4Address): readonly string[] {
    return this.#names.get(address) ?? []
  }

  close(): void {
    this.#closed = true
    this.#socket.close()
    void this.#server.close()
    for (const connection of this.#connections) connection.reset()
    for (const one of this.#asking) one.destroy()
  }

  /** `null`: that was no question. */
  async #answer(question: Buffer, transport: Transport): Promise<Buffer | null> {
    const asked = read(question)
    const name = asked?.questions?.[0]?.name.toLowerCase()
    if (asked === null || asked.type !== 'query' || name === undefined) return null
    const { counters } = this.#gateway
    counters.dnsQueries++
    const own = this.#find(name)
    if (own !== undefined) return this.#ownAnswer(asked, name, own)
    this.#pending++
    try {
      for (let round = 0; round < ROUNDS; round++) {
        for (const server of this.#servers) {
          try {
            const answer = await transport(question, server)
            this.#learn(name, read(answer))
            return answer
          } catch {
            if (this.#closed) return null // else the next one
          }
        }
      }
      counters.dnsFailed++
      return failure(question)
    } finally {
      this.#pending--
    }
  }

  /** Its own, or that of a name with a star. */
  #find(name: string): readonly string[] | undefined {
    const exact = this.#own.get(name)
    if (exact !== undefined) return exact
    for (let dot = name.indexOf('.'); dot >= 0; dot = name.indexOf('.', dot + 1)) {
      const found = this.#own.get(`*${name.slice(dot)}`)
      if (found !== undefined) return found
    }
    return undefined
  }

  #ownAnswer(asked: Message, name: string, addresses: readonly string[]): Buffer {
    const [question] = asked.questions!
    const wanted = question!.type === 'A' || (question!.type as string) === 'ANY'
    if (wanted) for (const address of addresses) this.#remember(name, parseIpv4(address))
    return encode({
      type: 'response',
      id: asked.id!,
      flags: AUTHORITATIVE_ANSWER | RECURSION_AVAILABLE | (asked.flags! & RECURSION_DESIRED),
      questions: asked.questions!,
      answers: wanted
        ? addresses.map((data) => ({ type: 'A', name: question!.name, ttl: OWN_TTL, data }))
        : [],
    })
  }

  #learn(name: string, answer: Message | null): void {
    for (const { type, data } of (answer?.answers ?? []) as { type: string; data: unknown }[]) {
      if (type === 'A' && typeof data === 'string') this.#remember(name, parseIpv4(data))
    }
  }

  #remember(name: string, address: Ipv4Address): void {
    const names = (this.#names.get(address) ?? []).filter((one) => one !== name)
    this.#names.delete(address) // to the end
    this.#names.set(address, [name, ...names.slice(0, MAX_NAMES - 1)])
    if (this.#names.size > MAX_ADDRESSES) this.#names.delete(this.#names.keys().next().value!)
  }

  async #accept(): Promise<void> {
    for await (const connection of this.#server) {
      if (this.#connections.size >= MAX_CONNECTIONS) {
        connection.reset()
        continue
      }
      this.#connections.add(connection)
      void this.#serve(connection)
        .catch(() => connection.reset()) // gone, or silent for too long
        .finally(() => this.#connections.delete(connection))
    }
  }

  /** Questions, each with its length before it (RFC 1035 §4.2.2), one after the other. */
  async #serve(connection: TcpSocket): Promise<void> {
    let idle = setTimeout(() => connection.reset(), IDLE)
    let waiting = Buffer.alloc(0)
    try {
      for await (const chunk of connection) {
        waiting = Buffer.concat([waiting, chunk])
        while (waiting.length >= 2 && waiting.length >= 2 + waiting.readUInt16BE(0)) {
          const end = 2 + waiting.readUInt16BE(0)
          const answer = await this.#answer(waiting.subarray(2, end), overTcp(this.#asking))
          waiting = waiting.subarray(end)
          if (answer === null) return connection.reset()
          await connection.write(withLength(answer))
        }
        clearTimeout(idle)
        idle = setTimeout(() => connection.reset(), IDLE)
      }
      await connection.close()
    } finally {
      clearTimeout(idle)
    }
  }
}

/** Those of `/etc/resolv.conf`. */
function serversOfHost(): GatewayEndpoint[] {
  return getServers().map((text) => {
    const [, address = text, port] = /^\[?([\d.]+|[\da-fA-F:.]+?)\]?(?::(\d+))?$/.exec(text) ?? []
    return isIPv6(text)
      ? { address: text, port: DNS_PORT }
      : { address, port: port === undefined ? DNS_PORT : Number(port) }
  })
}

function read(bytes: Buffer): Message | null {
  try {
    return bytes.length < HEADER ? null : decode(bytes)
  } catch {
    return null
  }
}

/** The question, as one that nobody could answer. */
function failure(question: Buffer): Buffer {
  const answer = Buffer.from(question)
  answer[2]! |= 0x80
  answer[3] = 0x80 | SERVFAIL
  return answer
}

function withLength(message: Buffer): Buffer {
  const length = Buffer.alloc(2)
  length.writeUInt16BE(message.length)
  return Buffer.concat([length, message])
}

const overUdp =
  (asking: Set<{ destroy(): void }>): Transport =>
  (question, { address, port }) =>
    new Promise((resolve, reject) => {
      const socket: DatagramSocket = createSocket({ type: isIPv4(address) ? 'udp4' : 'udp6' })
      const handle = { destroy: () => done(new Error('the gateway was closed')) }
      const timer = setTimeout(() => done(new Error(`${address} says nothing`)), PATIENCE)
      const done = (outcome: Error | Buffer): void => {
        if (!asking.delete(handle)) return
        clearTimeout(timer)
        socket.close()
        if (outcome instanceof Error) reject(outcome)
        else resolve(outcome)
      }
      asking.add(handle)
      socket.on('error', done)
      // Connected, so that nobody else can answer. The port is one that the kernel picks at random.
      socket.on('message', (answer) => {
        if (isAnswerTo(answer, question)) done(answer)
      })
      socket.connect(port, address, ((error?: Error) => {
        if (error) done(error)
        else socket.send(question, (failed) => failed && done(failed))
      }) as () => void)
    })

const overTcp =
  (asking: Set<{ destroy(): void }>): Transport =>
  (question, { address, port }) =>
    new Promise((resolve, reject) => {
      const socket: Socket = connect({ host: address, port })
      asking.add(socket)
      let all = Buffer.alloc(0)
      socket.setTimeout(PATIENCE, () => socket.destroy(new Error(`${address} says nothing`)))
      socket.on('data', (chunk) => {
        all = Buffer.concat([all, chunk])
        if (all.length < 2 || all.length < 2 + all.readUInt16BE(0)) return
        const answer = all.subarray(2, 2 + all.readUInt16BE(0))
        socket.destroy()
        if (isAnswerTo(answer, question)) resolve(answer)
      })
      let reason = new Error(`${address} has hung up`)
      socket.on('error', (error) => {
        reason = error
      })
      socket.on('close', () => {
        asking.delete(socket)
        reject(reason) // nothing, if it is resolved
      })
      socket.write(withLength(question))
    })

/** The same number, and an answer: the guest looks at the rest itself. */
function isAnswerTo(answer: Buffer, question: Buffer): boolean {
  return (
    answer.length >= HEADER &&
    (answer[2]! & 0x80) !== 0 &&
    answer.subarray(0, 2).equals(question.subarray(0, 2))
  )
}
