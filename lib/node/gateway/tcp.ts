/**
 * TCP of guests to the outside: whoever wants to connect is answered once the host has connected, or in the way in
 * which the host was. So a guest sees of the other end what the host sees.
 */
import { FlowKey, localPort, remotePort } from '../../demux/flow-key.ts'
import type { EventSource } from '../../device/softirq.ts'
import { sendLateError } from '../../ipv4/late-errors.ts'
import type { HalfOpen } from '../../tcp/half-open.ts'
import type { Listener } from '../../tcp/listener.ts'
import { IcmpType, UnreachableCode } from '../../wire/icmpv4.ts'
import { IpProtocol } from '../../wire/ipv4.ts'
import { TCP_MIN_HEADER } from '../../wire/tcp.ts'
import type { GatewayContext } from './context.ts'
import type { Decision } from './policy.ts'
import { Splice, type SpliceContext, type SpliceOwner } from './splice.ts'

/** What ICMP says to the guest for an error of the host's `connect`; `-1`: nothing, as nothing was heard. */
export function unreachableCode(code: string): number {
  switch (code) {
    case 'EHOSTUNREACH':
    case 'EHOSTDOWN':
      return UnreachableCode.HOST
    case 'ENETUNREACH':
    case 'ENETDOWN':
      return UnreachableCode.NET
    case 'EACCES':
    case 'EPERM':
      return UnreachableCode.PACKET_FILTERED
    default:
      return -1
  }
}

export class TcpOutbound implements EventSource, SpliceOwner {
  readonly #gateway: GatewayContext
  readonly #splices: SpliceContext
  readonly #listener: Listener
  /** What is not decided yet, or waits for the host or for the guest's last ACK. */
  readonly #pending = new Map<HalfOpen, Splice | null>()
  readonly #requests = new Map<Splice, HalfOpen>()
  readonly #all = new Set<Splice>()

  /** @throws TunstackError `EADDRINUSE` if somebody else hears of all connections of the stack */
  constructor(gateway: GatewayContext, splices: SpliceContext) {
    this.#gateway = gateway
    this.#splices = splices
    const { tcp } = splices
    const listener = tcp.handshakes.listenAll(gateway.settings.maxConnections, this)
    if (typeof listener === 'number') throw gateway.inUse('every TCP port')
    listener.noDelay = true
    listener.keepAlive = true
    this.#listener = listener
  }

  deliverEvents(): void {
    const { undecided, failed, acceptQueue } = this.#listener
    for (const tcb of acceptQueue.splice(0)) {
      const halfOpen = tcb.handshake!
      tcb.handshake = null
      const splice = this.#pending.get(halfOpen)
      this.#forget(halfOpen)
      if (splice == null) continue // it cannot be: only whom the host has connected for is accepted
      splice.attach(tcb)
      splice.join()
    }
    for (const halfOpen of failed.splice(0)) {
      const splice = this.#pending.get(halfOpen)
      this.#forget(halfOpen)
      splice?.reset()
    }
    while (undecided.length > 0) this.#begin(undecided.shift()!)
  }

  close(): void {
    this.#splices.tcp.handshakes.unlisten(this.#listener)
    this.deliverEvents()
    for (const splice of this.#all) splice.reset()
  }

  connected(splice: Splice): void {
    const halfOpen = this.#requests.get(splice)
    if (halfOpen === undefined || !halfOpen.undecided) return splice.reset()
    this.#splices.tcp.handshakes.acceptRequest(halfOpen)
  }

  answered(): void {}

  failed(splice: Splice, code: string): void {
    const { counters } = this.#gateway
    counters.tcpFailed++
    const halfOpen = this.#requests.get(splice)
    if (halfOpen === undefined) return
    this.#forget(halfOpen)
    if (code === 'EMFILE' || code === 'ENFILE' || code === 'ENOBUFS' || code === 'EADDRNOTAVAIL') {
      this.#gateway.report(Object.assign(new Error(`the host cannot connect: ${code}`), { code }))
    }
    this.#refuse(halfOpen, code === 'ECONNREFUSED' || code === 'ECONNRESET' ? 'deny' : 'drop')
    const unreachable = unreachableCode(code)
    if (unreachable >= 0) this.#unreachable(halfOpen, unreachable)
  }

  ended(splice: Splice): void {
    if (this.#all.delete(splice)) this.#gateway.counters.tcpOpen--
  }

  #begin(halfOpen: HalfOpen): void {
    const { settings, counters, policy } = this.#gateway
    counters.tcpRequests++
    if (this.#pending.size + this.#all.size - this.#requests.size >= settings.maxConnections) {
      counters.tcpLimited++
      return this.#refuse(halfOpen, 'deny')
    }
    this.#pending.set(halfOpen, null)
    const { key } = halfOpen
    const decision = policy.decide(
      'tcp',
      key[FlowKey.REMOTE + 3]!,
      remotePort(key),
      key[FlowKey.LOCAL + 3]!,
      localPort(key),
    )
    if (decision instanceof Promise) void decision.then((later) => this.#decided(halfOpen, later))
    else this.#decided(halfOpen, decision)
  }

  #decided(halfOpen: HalfOpen, { action, address, port }: Decision): void {
    if (!this.#pending.has(halfOpen)) return // it was given up meanwhile
    const { settings, counters } = this.#gateway
    if (action !== 'allow') {
      this.#pending.delete(halfOpen)
      counters.denied++
      return this.#refuse(halfOpen, action)
    }
    const splice = new Splice(this.#splices, this, { address, port, timeout: settings.connectTimeout })
    this.#pending.set(halfOpen, splice)
    this.#requests.set(splice, halfOpen)
    this.#all.add(splice)
    counters.tcpOpen++
  }

  #forget(halfOpen: HalfOpen): void {
    const splice = this.#pending.get(halfOpen)
    this.#pending.delete(halfOpen)
    if (splice != null) this.#requests.delete(splice)
  }

  #refuse(halfOpen: HalfOpen, how: 'deny' | 'drop'): void {
    this.#splices.tcp.handshakes.refuseRequest(halfOpen, how === 'drop')
  }

  #unreachable({ key, irs }: HalfOpen, code: number): void {
    const { ip, softirq } = this.#splices.tcp
    softirq.enter()
    try {
      sendLateError(ip, IcmpType.DEST_UNREACH, code, this.#gateway.settings.prefix.address, {
        protocol: IpProtocol.TCP,
        source: key[FlowKey.REMOTE + 3]!,
        destination: key[FlowKey.LOCAL + 3]!,
        length: TCP_MIN_HEADER,
        first: (remotePort(key) << 16) | localPort(key),
        second: irs,
      })
    } finally {
      softirq.leave()
    }
  }
}
