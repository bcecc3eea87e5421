/**
 * Plays a packet script against a stack in virtual time: the script's calls are made of the plain API, its packets
 * come from the wire, and what the stack sends is compared with what must leave, in content and in time. A super-
 * segment of the script is the run of segments that it would be cut into.
 */
import {
  SECOND,
  Stack,
  seededRandom,
  type TcpServer,
  type TcpSocket,
  type TunstackError,
  VirtualClock,
} from '../../lib/index.ts'
import { icmp } from '../conformance/packets.ts'
import { tcpSegment } from '../conformance/tcp-peer.ts'
import { Wire } from '../conformance/wire.ts'
import { assertion } from './assertion.ts'
import { NotPlayable } from './not-playable.ts'
import type { Call, EventBody, Script, ScriptEvent, ScriptIcmp, ScriptSegment } from './script.ts'
import { difference, type Ends, formatSegment, Numbering, packetOf, type Sent, sentOf } from './segments.ts'
import { setUp } from './shell.ts'

const LOCAL = '192.168.0.1'
const REMOTE = '192.0.2.1'
/** By how much, in seconds, something may be early or late: timers of the kernel are not finer (packetdrill's default). */
const TOLERANCE = 0.004
const LISTENING_PORT = 8080

/** Options that are numbers, of a connection and before there is one. */
const NUMBERS: Readonly<Record<string, 'receiveBuffer' | 'sendBuffer' | 'userTimeout' | 'tos'>> = {
  SO_RCVBUF: 'receiveBuffer',
  SO_SNDBUF: 'sendBuffer',
  TCP_USER_TIMEOUT: 'userTimeout',
  IP_TOS: 'tos',
}

/** The stack does something else than the script says. */
export class Mismatch extends Error {}

/** A descriptor of the script. */
interface Descriptor {
  readonly options: {
    receiveBuffer?: number
    sendBuffer?: number
    noDelay?: boolean
    maxSegment?: number
    keepAlive?: boolean
    congestion?: 'cubic' | 'reno' | 'bbr'
    maxPacingRate?: number
    tos?: number
    ttl?: number
    userTimeout?: number
  }
  /** `bind()` was called. */
  bound: boolean
  server: TcpServer | null
  socket: TcpSocket | null
  backlog: number
  /** Ends an attempt to connect. */
  giveUp: AbortController | null
  /** Why connecting failed. */
  error: string
}

/** A call under way. */
interface Pending {
  readonly event: ScriptEvent
  /** Seconds. */
  readonly deadline: number
  outcome: { readonly value: number; readonly error: string | null; readonly time: number } | null
}

export class Player {
  readonly clock = new VirtualClock()
  readonly stack = new Stack({ clock: this.clock, random: seededRandom(1) })
  readonly #script: Script
  readonly #wire: Wire
  readonly #files = new Map<number, Descriptor>()
  readonly #sent: { readonly bytes: Uint8Array<ArrayBuffer>; readonly time: number }[] = []
  readonly #pending: Pending[] = []
  readonly #tolerance: number
  readonly #tick: number
  /** Segments are as the script has them, instead of parts of one. */
  readonly #strict: boolean
  #numbering = new Numbering(1_000_003)
  #ends: Ends = { local: LOCAL, localPort: LISTENING_PORT, remote: REMOTE, remotePort: 40_000 }
  /** The time of the script, in seconds, which the next event counts from. */
  #base = 0
  #last: TcpSocket | null = null
  readonly #counted = new Map<string, number>()

  /** @throws NotPlayable */
  constructor(script: Script) {
    this.#script = script
    const known = new Set([
      'mss',
      'mtu',
      'tolerance_usecs',
      'tolerance_percent',
      'tcp_ts_tick_usecs',
      'ip_version',
      'strict_segments',
      'bind_port',
    ])
    for (const name of script.options.keys()) if (!known.has(name)) throw new NotPlayable(`--${name}`)
    if (script.options.get('ip_version')?.startsWith('ipv6') === true) throw new NotPlayable('IPv6')
    this.#tolerance = Number(script.options.get('tolerance_usecs') ?? TOLERANCE * 1e6) / 1e6
    this.#strict = script.options.has('strict_segments')
    this.#tick = Number(script.options.get('tcp_ts_tick_usecs') ?? 0)
    this.#wire = new Wire('tun0', Number(script.options.get('mtu') ?? 1500))
    this.#wire.onSend = (bytes) => {
      this.#sent.push({ bytes: bytes as Uint8Array<ArrayBuffer>, time: this.#now })
      this.#wire.sent.length = 0
    }
    this.stack.addDevice(this.#wire).addAddress(`${LOCAL}/16`)
    this.stack.routes.add('default dev tun0')
    this.stack.sysctlSet('net.ipv4.tcp_congestion_control', 'cubic')
    setUp(script.setup, this.stack)
  }

  get #now(): number {
    return this.clock.now() / SECOND
  }

  /** @throws Mismatch, NotPlayable */
  async play(): Promise<void> {
    try {
      for (const event of this.#script.events) {
        try {
          await this.#event(event)
        } catch (error) {
          if (error instanceof NotPlayable) throw error
          throw new Mismatch(`line ${event.line}: ${(error as Error).message}`)
        }
      }
      for (const pending of this.#pending) {
        await this.#advance(pending.deadline + this.#tolerance, () => pending.outcome !== null)
        this.#check(pending)
      }
    } finally {
      await this.stack.close()
      await this.#settle()
    }
  }

  async #event(event: ScriptEvent): Promise<void> {
    const { when, body } = event
    const from = when.relative ? this.#base : 0
    const start = from + when.start
    if (body.kind === 'out') {
      const end = when.any ? this.#base + 1 : when.kind === 'range' ? from + when.end! : start
      const time = await this.#expect(body.segment, end)
      const late = time - start
      if (!when.any && (late < -this.#tolerance || time - end > this.#tolerance))
        throw new Error(`sent at ${time.toFixed(6)}, not at ${start.toFixed(6)}`)
      this.#base = when.any || when.kind === 'range' ? time : start
      return
    }
    await this.#advance(start)
    this.#base = start
    await this.#do(body, event, from + (when.kind === 'lasting' ? when.end! : when.start))
    await this.#settle()
  }

  async #do(body: EventBody, event: ScriptEvent, end: number): Promise<void> {
    switch (body.kind) {
      case 'in':
        return this.#receive(body.segment)
      case 'icmp':
        return this.#receiveIcmp(body.icmp)
      case 'shell':
        return this.#shell(body.text)
      case 'assert':
        return assertion(body.text, this.#last?.info ?? null)
      case 'call':
        return await this.#call(body.call, event, end)
      case 'out':
        throw new Error('unreachable')
    }
  }

  /** Lets promises have their turn, and what waits for the event loop; no time passes. */
  async #settle(): Promise<void> {
    for (let i = 0; i < 3; i++) {
      this.clock.advance(0)
      await new Promise((resolve) => setImmediate(resolve))
    }
  }

  /** Goes to a time of the script, or until something is so. */
  async #advance(until: number, done: () => boolean = () => false): Promise<void> {
    await this.#settle()
    const end = Math.round(until * SECOND)
    while (!done()) {
      const next = this.clock.untilNext()
      if (next === undefined || this.clock.now() + next > end) {
        if (this.clock.now() < end) this.clock.advance(end - this.clock.now())
        await this.#settle()
        return
      }
      this.clock.step()
      await this.#settle()
    }
  }

  #receive(segment: ScriptSegment): void {
    if (/^SE?W?$/.test(segment.flags)) this.#newConnection(this.#port, this.#ends.remotePort + 1)
    this.#wire.push(packetOf(segment, this.#ends, this.#numbering))
  }

  /** Where this end listens, or what it binds to. */
  get #port(): number {
    return Number(this.#script.options.get('bind_port') || LISTENING_PORT)
  }

  #newConnection(localPort: number, remotePort: number): void {
    this.#numbering = new Numbering((this.#numbering.remote * 1_103_515_245 + 12_345) >>> 0)
    this.#ends = { ...this.#ends, localPort, remotePort }
    this.#sent.length = 0
  }

  #receiveIcmp({ code, mtu, seq, length }: ScriptIcmp): void {
    const codes: Readonly<Record<string, number>> = {
      net_unreachable: 0,
      host_unreachable: 1,
      protocol_unreachable: 2,
      port_unreachable: 3,
      frag_needed: 4,
      source_route_failed: 5,
    }
    const number = codes[code]
    if (number === undefined) throw new NotPlayable(`icmp unreachable ${code}`)
    const { local, localPort, remote, remotePort } = this.#ends
    const quoted = tcpSegment({
      src: local,
      dst: remote,
      sport: localPort,
      dport: remotePort,
      seq: ((this.#numbering.local ?? 0) + seq) | 0,
      data: new Uint8Array(length),
    })
    this.#wire.push(
      icmp({ src: REMOTE, dst: LOCAL }, { type: 3, code: number, word: mtu }, quoted.subarray(0, 28)),
    )
  }

  /** Takes what must leave, one segment or the run that it would be cut into; gives when the last of it left. */
  async #expect(expected: ScriptSegment, until: number): Promise<number> {
    const deadline = until + this.#tolerance
    let have = 0
    for (;;) {
      await this.#advance(deadline, () => this.#sent.length > 0)
      const next = this.#sent.shift()
      if (next === undefined)
        throw new Error(
          `nothing was sent; must be ${formatSegment(expected)}${have > 0 ? ` (${have} bytes of it were)` : ''}`,
        )
      const sent = sentOf(next.bytes, next.time, this.#numbering)
      if (sent === null) continue
      this.#learnPorts(sent)
      const rest: ScriptSegment = {
        ...expected,
        seq: expected.seq + have,
        length: expected.length - have,
      }
      // Of a super-segment only the last has what ends it.
      const isPart = !this.#strict && sent.length > 0 && sent.length < rest.length
      const want: ScriptSegment = isPart
        ? {
            ...rest,
            length: sent.length,
            flags: rest.flags.replace(/[PFW]/g, '') + (sent.flags.includes('P') ? 'P' : ''),
          }
        : have > 0
          ? { ...rest, flags: rest.flags.replace('W', '') }
          : rest
      const what = difference(want, sent, this.#numbering, this.#tick, this.#tolerance * 1e6)
      if (what !== null)
        throw new Error(
          `another ${what}: sent ${formatSegment({ ...sent, ack: sent.flags.includes('.') ? sent.ack : null })}; must be ${formatSegment(rest)}`,
        )
      have += sent.length
      if (!isPart) return next.time
    }
  }

  #learnPorts(sent: Sent): void {
    if (sent.flags.includes('S') && !sent.flags.includes('.'))
      this.#ends = { ...this.#ends, localPort: sent.localPort, remotePort: sent.remotePort }
  }

  #shell(text: string): void {
    const nstat = /nstat[^|]*\|\s*grep (\w+)\s*\|\s*grep -q "\s*(\d+)\s*"/.exec(text)
    if (nstat !== null) {
      const name = nstat[1]!
      const now = this.stack.mib.get(name)
      const since = now - (this.#counted.get(name) ?? 0)
      if (!text.includes('-s')) this.#counted.set(name, now)
      if (since !== Number(nstat[2])) throw new Error(`${name} is ${since}; must be ${nstat[2]}`)
      return
    }
    if (/^\s*nstat -n\s*$/.test(text) || text.includes('sysctl_restore')) return
    if (/tc qdisc.*pfifo limit 0/.test(text)) {
      this.#wire.blocked = true
      return
    }
    setUp(text, this.stack)
  }

  #file(text: string | undefined): Descriptor {
    const found = this.#files.get(Number(text))
    if (found === undefined) throw new Error(`no socket ${text}`)
    return found
  }

  #connected(text: string | undefined): TcpSocket {
    const { socket } = this.#file(text)
    if (socket === null) throw new Error(`socket ${text} is not connected`)
    return socket
  }

  async #call(call: Call, event: ScriptEvent, deadline: number): Promise<void> {
    const running = this.#start(call)
    if (running === null) return
    const pending: Pending = { event, deadline, outcome: null }
    running.then(
      (value) => {
        pending.outcome = { value, error: null, time: this.#now }
      },
      (error: TunstackError) => {
        pending.outcome = { value: -1, error: error.code ?? String(error), time: this.#now }
      },
    )
    await this.#settle()
    if (event.when.kind === 'lasting') this.#pending.push(pending)
    else this.#check(pending)
  }

  #check({ event, outcome, deadline }: Pending): void {
    if (event.body.kind !== 'call') return
    const { name, result, error } = event.body.call
    if (outcome === null) throw new Error(`${name}() goes on; must give ${result}`)
    if (event.when.kind === 'lasting' && Math.abs(outcome.time - deadline) > this.#tolerance)
      throw new Error(`${name}() was over at ${outcome.time.toFixed(6)}, not at ${deadline.toFixed(6)}`)
    if (result === null) return
    const said = `${outcome.value} ${outcome.error ?? ''}`.trim()
    const must = `${result} ${error ?? ''}`.trim()
    if (said !== must) throw new Error(`${name}() gives ${said}; must give ${must}`)
  }

  /** Begins a call; what it gives comes later. */
  #start({ name, args, result, error }: Call): Promise<number> | null {
    const ok = Promise.resolve(0)
    switch (name) {
      case 'socket':
        if (!args[1]!.includes('SOCK_STREAM')) throw new NotPlayable(args[1]!)
        this.#files.set(result!, {
          options: {},
          bound: false,
          backlog: 0,
          server: null,
          socket: null,
          giveUp: null,
          error: '',
        })
        return null
      case 'bind':
        this.#file(args[0]).bound = true
        return null
      case 'fcntl':
        return null // whether a call waits is said by its time
      case 'setsockopt':
        return this.#setOption(this.#file(args[0]), args[2]!, args[3]!)
      case 'getsockopt':
        return this.#getOption(this.#file(args[0]), args[2]!, args[3]!)
      case 'listen': {
        const file = this.#file(args[0])
        const { tos, ttl, userTimeout, ...options } = file.options
        if ([tos, ttl, userTimeout].some((option) => option !== undefined))
          throw new NotPlayable('such an option of a listening socket')
        file.backlog = Number(args[1])
        file.server = this.stack.tcp.listen({ port: this.#port, backlog: file.backlog, ...options })
        return null
      }
      case 'accept':
        return this.#accept(this.#file(args[0]), result!)
      case 'connect':
        return this.#connect(this.#file(args[0]), error === 'EINPROGRESS')
      case 'write':
      case 'send':
      case 'sendto': {
        if (args[3] !== undefined && args[3] !== '0') throw new NotPlayable(args[3])
        const count = Number(args[2])
        return this.#connected(args[0])
          .write(new Uint8Array(count))
          .then(() => count)
      }
      case 'sendmsg':
        return this.#sendMessage(args)
      case 'read':
      case 'recv':
      case 'recvfrom':
        if (args[3] !== undefined && args[3] !== '0') throw new NotPlayable(args[3])
        return this.#read(this.#file(args[0]), Number(args[2]))
      case 'shutdown':
        if (args[1] !== 'SHUT_WR') throw new NotPlayable(args[1]!)
        this.#connected(args[0]).end()
        return ok
      case 'close':
        return this.#close(Number(args[0]))
      case 'ioctl': {
        const socket = this.#connected(args[0])
        const must = Number(/\[(\d+)\]/.exec(args[2]!)?.[1])
        const is =
          args[1] === 'SIOCINQ'
            ? socket.readableLength
            : args[1] === 'SIOCOUTQ'
              ? socket.writableLength
              : null
        if (is === null) throw new NotPlayable(args[1]!)
        if (is !== must) throw new Error(`${args[1]} gives ${is}; must give ${must}`)
        return ok
      }
      default:
        throw new NotPlayable(`${name}()`)
    }
  }

  async #accept(file: Descriptor, descriptor: number): Promise<number> {
    const socket = await file.server!.accept()
    this.#files.set(descriptor, { ...file, options: {}, server: null, socket })
    this.#last = socket
    return descriptor
  }

  #connect(file: Descriptor, inProgress: boolean): Promise<number> {
    this.#newConnection(0, LISTENING_PORT)
    const open = this.stack.tcp.usage.inuse
    file.giveUp = new AbortController()
    const { signal } = file.giveUp
    const from = file.bound ? { localPort: this.#port } : {}
    const opening = this.stack.tcp
      .connect({ address: REMOTE, port: LISTENING_PORT, signal, ...from, ...file.options })
      .then((socket) => {
        file.socket = socket
        file.giveUp = null
        this.#last = socket
      })
    opening.catch((error: TunstackError) => {
      file.error = error.code
    })
    // What can't even begin fails at once.
    if (inProgress && this.stack.tcp.usage.inuse > open) {
      return Promise.reject(Object.assign(new Error('in progress'), { code: 'EINPROGRESS' }))
    }
    return opening.then(() => 0)
  }

  async #read(file: Descriptor, count: number): Promise<number> {
    const { socket } = file
    if (socket === null) throw Object.assign(new Error('no connection'), { code: 'ENOTCONN' })
    return await socket.readInto(new Uint8Array(Math.max(1, count)), 0, count)
  }

  #sendMessage(args: readonly string[]): Promise<number> {
    if (args[2] !== '0') throw new NotPlayable(args[2]!)
    const counts = [...args[1]!.matchAll(/\{\.\.\.,\s*(\d+)\}/g)].map(([, n]) => Number(n))
    const count = counts.reduce((sum, n) => sum + n, 0)
    if (counts.length === 0 || args[1]!.includes('msg_control')) throw new NotPlayable('sendmsg() with more')
    return this.#connected(args[0])
      .write(new Uint8Array(count))
      .then(() => count)
  }

  #close(descriptor: number): Promise<number> {
    const { server, socket, giveUp } = this.#file(String(descriptor))
    this.#files.delete(descriptor)
    void server?.close()
    giveUp?.abort()
    socket?.close().catch(() => {})
    return Promise.resolve(0)
  }

  #setOption(file: Descriptor, option: string, text: string): Promise<number> | null {
    const value = Number(/\[\s*(-?\d+)\s*\]/.exec(text)?.[1] ?? Number.NaN)
    const { socket, options } = file
    const before = (key: keyof Descriptor['options'], what: unknown): null => {
      if (socket !== null) throw new NotPlayable(`${option} of a connection`)
      Object.assign(options, { [key]: what })
      if (file.server === null) return null
      void file.server.close()
      file.server = this.stack.tcp.listen({ port: this.#port, backlog: file.backlog, ...options })
      return null
    }
    const property = NUMBERS[option]
    if (property !== undefined) {
      if (socket === null) return before(property, value)
      socket[property] = value
      return null
    }
    switch (option) {
      case 'SO_REUSEADDR':
      case 'SO_REUSEPORT':
      case 'IP_BIND_ADDRESS_NO_PORT':
        return null
      case 'IP_MTU_DISCOVER': // DF is not looked at
        return null
      case 'IP_LOCAL_PORT_RANGE': {
        const range = Number(/\[\s*(0x[\da-f]+|\d+)\s*\]/i.exec(text)?.[1])
        if (socket !== null || file.server !== null) throw new NotPlayable(`${option} of a connection`)
        this.stack.sysctlSet('net.ipv4.ip_local_port_range', `${range & 0xffff} ${range >>> 16}`)
        return null
      }
      case 'TCP_MAXSEG':
        return before('maxSegment', value)
      case 'TCP_NODELAY':
        if (socket === null) return before('noDelay', value !== 0)
        socket.noDelay = value !== 0
        return null
      case 'SO_KEEPALIVE':
        if (socket === null) return before('keepAlive', value !== 0)
        socket.setKeepAlive(value !== 0)
        return null
      case 'TCP_KEEPIDLE':
      case 'TCP_KEEPINTVL':
      case 'TCP_KEEPCNT':
        if (socket === null) throw new NotPlayable(`${option} before a connection`)
        if (option === 'TCP_KEEPIDLE') socket.setKeepAlive(true, { idle: value * 1000 })
        else if (option === 'TCP_KEEPINTVL') socket.setKeepAlive(true, { interval: value * 1000 })
        else socket.setKeepAlive(true, { count: value })
        return null
      case 'TCP_CONGESTION':
        return before('congestion', /"(\w+)"/.exec(text)?.[1])
      case 'SO_MAX_PACING_RATE':
        return before('maxPacingRate', value)
      default:
        throw new NotPlayable(option)
    }
  }

  #getOption(file: Descriptor, option: string, text: string): Promise<number> | null {
    const must = Number(/\[\s*(-?\d+)\s*\]/.exec(text)?.[1])
    switch (option) {
      case 'SO_ERROR':
        if ((file.error !== '') !== (must !== 0))
          throw new Error(`SO_ERROR is '${file.error}'; must be ${must}`)
        return null
      case 'SO_SNDBUF': // Linux's are twice what was asked for: half is for its own use
        if (2 * this.#socketOf(file).sendBuffer !== must) throw new Error(`SO_SNDBUF is not ${must}`)
        return null
      case 'TCP_MAXSEG': {
        const is = file.socket?.info.snd_mss ?? file.options.maxSegment
        if (is !== must) throw new Error(`${option} is ${is}; must be ${must}`)
        return null
      }
      default:
        throw new NotPlayable(option)
    }
  }

  #socketOf({ socket }: Descriptor): TcpSocket {
    if (socket === null) throw new NotPlayable('an option before there is a connection')
    return socket
  }
}
