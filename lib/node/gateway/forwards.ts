/**
 * Ports of the host that lead to guests. A guest sees who connects there as the gateway: the addresses of the outside
 * are not told, as with a NAT that does both directions.
 */
import { createSocket, type Socket as DatagramSocket } from 'node:dgram'
import { type AddressInfo, createServer, type Server } from 'node:net'
import { parseIpv4 } from '../../address/ipv4-address.ts'
import { LinkedList } from '../../collections/linked-list.ts'
import { USUAL_CONNECT } from '../../tcp/active-open.ts'
import type { UdpSocket } from '../../udp/udp-socket.ts'
import type { GatewayContext } from './context.ts'
import type { GatewayForward } from './options.ts'
import { Splice, type SpliceContext, type SpliceOwner } from './splice.ts'

/** A forward with everything filled in; `port` is the one that the host listens at. */
export type OpenForward = Required<GatewayForward>

export class TcpForward implements SpliceOwner {
  readonly forward: OpenForward
  readonly #gateway: GatewayContext
  readonly #splices: SpliceContext
  readonly #server: Server
  readonly #all = new LinkedList<Splice>()

  constructor(gateway: GatewayContext, splices: SpliceContext, forward: OpenForward) {
    this.#gateway = gateway
    this.#splices = splices
    this.forward = forward
    this.#server = createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true }, (socket) => {
      const { settings, counters } = gateway
      if (this.#all.length >= settings.maxConnections) return void socket.resetAndDestroy()
      const splice = new Splice(splices, this, socket)
      this.#all.push(splice)
      counters.tcpOpen++
      this.#connect(splice)
    })
  }

  /** Listens. @throws Error of Node: `EADDRINUSE`, `EACCES`, `EADDRNOTAVAIL` */
  async open(): Promise<void> {
    const { host, port } = this.forward
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject).listen(port, host, resolve)
    })
    this.#server.on('error', (error) => this.#gateway.report(error))
    this.forward.port = (this.#server.address() as AddressInfo).port
  }

  close(): void {
    this.#server.close()
    for (const splice of this.#all) splice.reset()
  }

  connected(): void {}

  answered(splice: Splice): void {
    splice.join()
  }

  failed(): void {
    this.#gateway.counters.tcpFailed++
  }

  ended(splice: Splice): void {
    if (this.#all.remove(splice)) this.#gateway.counters.tcpOpen--
  }

  #connect(splice: Splice): void {
    const { guestAddress, guestPort } = this.forward
    const { prefix } = this.#gateway.settings
    const tcb = this.#splices.tcp.connect(
      parseIpv4(guestAddress),
      guestPort,
      prefix.address,
      0,
      USUAL_CONNECT,
    )
    if (typeof tcb === 'number') return splice.reset()
    tcb.noDelay = true
    tcb.keepAlive = true
    splice.attach(tcb)
  }
}

/** Somebody outside who has sent to the port, and the gateway's socket that stands for it before the guest. */
interface Outsider {
  readonly socket: UdpSocket
  lastUsed: number
}

export class UdpForward {
  readonly forward: OpenForward
  readonly #gateway: GatewayContext
  readonly #socket: DatagramSocket
  /** By `address:port`; the one that was used least recently first. */
  readonly #outsiders = new Map<string, Outsider>()
  readonly #sweep: NodeJS.Timeout
  #closed = false

  constructor(gateway: GatewayContext, forward: OpenForward) {
    this.#gateway = gateway
    this.forward = forward
    this.#socket = createSocket('udp4')
    this.#socket.on('message', (data, { address, port }) => this.#arrived(data, address, port))
    const { udpTimeout } = gateway.settings
    this.#sweep = setInterval(() => this.#expire(), Math.max(10, Math.min(1000, udpTimeout / 4)))
    this.#sweep.unref()
  }

  /** @throws Error of Node: `EADDRINUSE`, `EACCES`, `EADDRNOTAVAIL` */
  async open(): Promise<void> {
    const { host, port } = this.forward
    await new Promise<void>((resolve, reject) => {
      this.#socket.once('error', reject).bind(port, host, resolve)
    })
    this.#socket.on('error', (error) => this.#gateway.report(error))
    this.forward.port = this.#socket.address().port
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    clearInterval(this.#sweep)
    this.#socket.close()
    for (const { socket } of this.#outsiders.values()) socket.close()
    this.#outsiders.clear()
  }

  #arrived(data: Buffer, address: string, port: number): void {
    const { counters } = this.#gateway
    const { guestAddress, guestPort } = this.forward
    counters.udpToGuest++
    try {
      // Lost, as datagrams are, if the guest's device has no room.
      this.#outsider(address, port).trySend(data, { address: guestAddress, port: guestPort })
    } catch (error) {
      this.#gateway.report(error) // no port is left for one more
    }
  }

  #outsider(address: string, port: number): UdpSocket {
    const key = `${address}:${port}`
    let known = this.#outsiders.get(key)
    if (known !== undefined)
      this.#outsiders.delete(key) // to the end
    else {
      const { settings, counters, stack } = this.#gateway
      if (this.#outsiders.size >= settings.maxUdpMappings) {
        const [oldest, gone] = this.#outsiders.entries().next().value!
        this.#outsiders.delete(oldest)
        gone.socket.close()
        counters.udpEvicted++
      }
      const socket = stack.udp.bind({
        address: this.#gateway.address,
        port: 0,
        onMessage: (message) => {
          if (message.address !== this.forward.guestAddress || message.port !== this.forward.guestPort) return
          counters.udpToHost++
          this.#socket.send(message.data, port, address)
        },
      })
      known = { socket, lastUsed: 0 }
    }
    known.lastUsed = performance.now()
    this.#outsiders.set(key, known)
    return known.socket
  }

  #expire(): void {
    const now = performance.now()
    for (const [key, { socket, lastUsed }] of this.#outsiders) {
      if (now - lastUsed < this.#gateway.settings.udpTimeout) return
      this.#outsiders.delete(key)
      socket.close()
    }
  }
}
