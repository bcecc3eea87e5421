/**
 * TCP of guests to the outside: whoever wants to connect is answered once the host has connected, or in the way in
 * which the host was. So a guest sees of the other end what the host sees.
 */
import { LinkedList } from '../../collections/linked-list.ts'
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
  eventsPending = false
  readonly #gateway: GatewayContext
  readonly #splices: SpliceContext
  readonly #listener: Listener
  /** Requests that the policy has not decided on: their user is this, and later the splice. */
  #undecided = 0
  readonly #all = new LinkedList<Splice>()

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
      const splice = this.#forget(tcb.handshake!)
      tcb.handshake = null
      if (splice === null) continue // it cannot be: only whom the host has connected for is accepted
      splice.attach(tcb)
      splice.join()
    }
    for (const halfOpen of failed.splice(0)) this.#forget(halfOpen)?.reset()
    while (undecided.length > 0) this.#begin(undecided.shift()!)
  }

  close(): void {
    this.#splices.tcp.handshakes.unlisten(this.#listener)
    this.deliverEvents()
    for (const splice of this.#all) splice.reset()
  }

  connected(splice: Splice): void {
    const halfOpen = splice.request
    if (halfOpen === null || !halfOpen.undecided) return splice.reset()
    this.#splices.tcp.handshakes.acceptRequest(halfOpen)
  }

  answered(): void {}

  failed(splice: Splice, code: string): void {
    const { counters } = this.#gateway
    counters.tcpFailed++
    const halfOpen = splice.request
    if (halfOpen === null) return
    this.#forget(halfOpen)
    if (code === 'EMFILE' || code === 'ENFILE' || code === 'ENOBUFS' || code === 'EADDRNOTAVAIL') {
      this.#gateway.report(Object.assign(new Error(`the host cannot connect: ${code}`), { code }))
    }
    this.#refuse(halfOpen, code === 'ECONNREFUSED' || code === 'ECONNRESET' ? 'deny' : 'drop')
    const unreachable = unreachableCode(code)
    if (unreachable >= 0) this.#unreachable(halfOpen, unreachable)
  }

  ended(splice: Splice): void {
    if (this.#all.remove(splice)) this.#gateway.counters.tcpOpen--
  }

  #begin(halfOpen: HalfOpen): void {
    const { settings, counters, policy } = this.#gateway
    counters.tcpRequests++
    if (this.#undecided + this.#all.length >= settings.maxConnections) {
      counters.tcpLimited++
      return this.#refuse(halfOpen, 'deny')
    }
    this.#undecided++
    halfOpen.user = this
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
    if (halfOpen.user !== this) return // it was given up meanwhile
    const { settings, counters } = this.#gateway
    this.#forget(halfOpen)
    if (action !== 'allow') {
      counters.denied++
      return this.#refuse(halfOpen, action)
    }
    const splice = new Splice(this.#splices, this, { address, port, timeout: settings.connectTimeout })
    halfOpen.user = splice
    splice.request = halfOpen
    this.#all.push(splice)
    counters.tcpOpen++
  }

  /** It waits for nothing any more. @returns what was made for it */
  #forget(halfOpen: HalfOpen): Splice | null {
    const { user } = halfOpen
    halfOpen.user = null
    if (user === this) this.#undecided--
    if (!(user instanceof Splice)) return null
    user.request = null
    return user
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
