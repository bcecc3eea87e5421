/**
 * Echo requests of guests to others: the host asks the same by a socket for echoes, whose kernel gives it the
 * identifier, and where it may not have one by the program `ping`. What comes of it, a reply or an error of a router on
 * the way, the guest hears from the one who said it: so `traceroute -I` works too.
 */
import { spawn } from 'node:child_process'
import { type Ipv4Address, parseIpv4, readIpv4 } from '../../address/ipv4-address.ts'
import { AddonDriver, type HostEcho } from '../../device/tun/addon.ts'
import { loadDriver } from '../../device/tun/load-driver.ts'
import { sendIcmpFrom, sendLateError } from '../../ipv4/late-errors.ts'
import type { Packet } from '../../packet/packet.ts'
import {
  ICMP_CODE,
  ICMP_HEADER,
  ICMP_TYPE,
  IcmpType,
  TimeExceededCode,
  UnreachableCode,
} from '../../wire/icmpv4.ts'
import { IPV4_DESTINATION, IPV4_SOURCE, IPV4_TTL, IpProtocol } from '../../wire/ipv4.ts'
import type { GatewayContext } from './context.ts'
import type { Decision } from './policy.ts'

/** Requests that are waited for at a time; the oldest gives way. */
const MAX_PENDING = 1024
/** Programs `ping` at a time; requests beyond that are lost. */
const MAX_PROGRAMS = 16
/** Seconds that such a program waits. */
const PROGRAM_WAIT = 5
/** Of an echo's header (RFC 792). */
const IDENTIFIER = 4
const SEQUENCE = 6

interface Request {
  readonly guest: Ipv4Address
  readonly destination: Ipv4Address
  /** As the guest has sent it, its header first. */
  readonly message: Uint8Array
  readonly ttl: number
  /** Where the host has sent it. */
  asked: Ipv4Address
}

export class PingOutbound {
  readonly #gateway: GatewayContext
  readonly #received = new Uint8Array(65536)
  readonly #echo: HostEcho | null
  /** By the sequence number that the host's request has. */
  readonly #pending = new Map<number, Request>()
  #sequence = 0
  #programs = 0
  #closed = false

  constructor(gateway: GatewayContext) {
    this.#gateway = gateway
    this.#echo = this.#open()
    gateway.stack.ipv4.icmp.echoRequests = (packet) => this.#requested(packet)
  }

  close(): void {
    this.#closed = true
    this.#gateway.stack.ipv4.icmp.echoRequests = null
    this.#echo?.close()
    this.#pending.clear()
  }

  /** `null`: this host gives nobody one, or not this user (`net.ipv4.ping_group_range`). */
  #open(): HostEcho | null {
    let driver: unknown
    try {
      driver = loadDriver()
    } catch {
      return null // no addon, and no compiler
    }
    if (!(driver instanceof AddonDriver)) return null
    const echo = driver.openEcho(this.#received, (length, address, error, reporter) => {
      if (error === 0) this.#replied(length, address)
      else this.#failed(error, reporter)
    })
    return typeof echo === 'number' ? null : echo
  }

  #requested({ bytes, networkHeader, transportHeader, end }: Packet): boolean {
    const destination = readIpv4(bytes, networkHeader + IPV4_DESTINATION)
    if (destination === this.#gateway.settings.prefix.address) return false
    const request: Request = {
      guest: readIpv4(bytes, networkHeader + IPV4_SOURCE),
      destination,
      message: bytes.slice(transportHeader, end),
      ttl: bytes[networkHeader + IPV4_TTL]! - 1, // this is a router on the way
      asked: 0,
    }
    if (request.ttl === 0) {
      this.#tell(request, IcmpType.TIME_EXCEEDED, TimeExceededCode.TTL, this.#gateway.settings.prefix.address)
      return true
    }
    this.#gateway.counters.pings++
    const decision = this.#gateway.policy.decide('icmp', request.guest, 0, destination, 0)
    if (decision instanceof Promise) void decision.then((later) => this.#decided(request, later))
    else this.#decided(request, decision)
    return true
  }

  #decided(request: Request, { action, address }: Decision): void {
    if (this.#closed) return
    if (action !== 'allow') {
      this.#gateway.counters.denied++
      if (action === 'deny') this.#unreachable(request, UnreachableCode.PACKET_FILTERED)
      return
    }
    request.asked = parseIpv4(address)
    if (this.#echo === null) this.#runProgram(request, address)
    else this.#ask(this.#echo, request)
  }

  #ask(echo: HostEcho, request: Request): void {
    if (this.#pending.size >= MAX_PENDING) this.#pending.delete(this.#pending.keys().next().value!)
    this.#sequence = (this.#sequence + 1) & 0xffff
    const message = request.message.slice()
    message[SEQUENCE] = this.#sequence >>> 8
    message[SEQUENCE + 1] = this.#sequence
    const failed = echo.send(message, request.asked, request.ttl)
    if (failed === 0) this.#pending.set(this.#sequence, request)
    else this.#unreachable(request, UnreachableCode.HOST)
  }

  #replied(length: number, address: Ipv4Address): void {
    const request = this.#taken()
    if (request === undefined || (request.asked | 0) !== (address | 0)) return
    this.#answer(request, this.#received.subarray(ICMP_HEADER, length))
  }

  #failed(error: number, reporter: Ipv4Address): void {
    const request = this.#taken()
    const type = error >>> 8
    if (request === undefined || (type !== IcmpType.DEST_UNREACH && type !== IcmpType.TIME_EXCEEDED)) return
    this.#tell(request, type, error & 0xff, reporter === request.asked ? request.destination : reporter)
  }

  /** The request that what was received is about. */
  #taken(): Request | undefined {
    const sequence = (this.#received[SEQUENCE]! << 8) | this.#received[SEQUENCE + 1]!
    const request = this.#pending.get(sequence)
    this.#pending.delete(sequence)
    return request
  }

  #answer({ guest, destination, message }: Request, data: Uint8Array): void {
    const reply = new Uint8Array(ICMP_HEADER + data.length)
    reply.set(message.subarray(IDENTIFIER, ICMP_HEADER), IDENTIFIER)
    reply.set(data, ICMP_HEADER)
    reply[ICMP_TYPE] = IcmpType.ECHO_REPLY
    reply[ICMP_CODE] = message[ICMP_CODE]!
    this.#inStack(() => sendIcmpFrom(this.#gateway.stack.ipv4, destination, guest, reply))
  }

  #unreachable(request: Request, code: number): void {
    this.#tell(request, IcmpType.DEST_UNREACH, code, this.#gateway.settings.prefix.address)
  }

  #tell({ guest, destination, message }: Request, type: number, code: number, from: Ipv4Address): void {
    this.#inStack(() =>
      sendLateError(this.#gateway.stack.ipv4, type, code, from, {
        protocol: IpProtocol.ICMP,
        source: guest,
        destination,
        length: message.length,
        first: readIpv4(message, 0),
        second: readIpv4(message, IDENTIFIER),
      }),
    )
  }

  #inStack(call: () => void): void {
    const { softirq } = this.#gateway.stack
    softirq.enter()
    try {
      call()
    } finally {
      softirq.leave()
    }
  }

  /** Only whether there was a reply can be told of it. */
  #runProgram(request: Request, address: string): void {
    if (this.#programs >= MAX_PROGRAMS) return
    this.#programs++
    const size = request.message.length - ICMP_HEADER
    const args = ['-n', '-q', '-c', '1', '-W', PROGRAM_WAIT, '-t', request.ttl, '-s', size, address].map(
      String,
    )
    const program = spawn('ping', args, { stdio: 'ignore' })
    let over = false
    const ended = (answered: boolean): void => {
      if (over) return
      over = true
      this.#programs--
      if (answered && !this.#closed) this.#answer(request, request.message.subarray(ICMP_HEADER))
    }
    program.on('error', (error) => {
      this.#gateway.report(error)
      ended(false)
    })
    program.on('exit', (status) => ended(status === 0))
    program.unref()
  }
}
