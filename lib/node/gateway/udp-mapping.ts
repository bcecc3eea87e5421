/**
 * One address and port of a guest, and its socket of the host. It has a port of its own choice, since that is what stays
 * when a connected socket is disconnected: the second peer must see the same port as the first (RFC 4787 REQ-1).
 */

import { randomInt } from 'node:crypto'
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram'
import type { Ipv4Address } from '../../address/ipv4-address.ts'
import type { Decision } from './policy.ts'
import type { UdpOutbound, UdpPeer } from './udp.ts'

/** RFC 6335 §6, and what Linux has by default. */
const FIRST_PORT = 32768
const LAST_PORT = 60999
/** Ports that are tried before the kernel may choose, which costs errors from then on. */
const ATTEMPTS = 8

interface Outgoing {
  data: Uint8Array
  decision: Decision
}

export class UdpMapping {
  readonly guest: Ipv4Address
  readonly guestPort: number
  /** By address and port that the guest has sent to. */
  readonly peers = new Map<number, UdpPeer>()
  /** On the clock of `performance.now()`. */
  lastUsed = 0
  /** Nobody else has been talked to: such a mapping may go soon. */
  onlyDns = true
  closed = false
  readonly #owner: UdpOutbound
  #socket: Socket | null = null
  /** Bound; what came before waits in the list. */
  #ready = false
  readonly #early: Outgoing[] = []
  /** The one that the socket is connected to; `null`: none, any number may be talked to. */
  #only: UdpPeer | null = null
  /** Several have been talked to. */
  #isOpen = false
  #attempts = 0
  /** Who may answer, by address and port of the host's side, and by address alone: as the guest knows them. */
  readonly #byText = new Map<string, UdpPeer>()
  readonly #byAddress = new Map<string, Set<UdpPeer>>()

  constructor(guest: Ipv4Address, guestPort: number, owner: UdpOutbound) {
    this.guest = guest
    this.guestPort = guestPort
    this.#owner = owner
  }

  /** Somebody may be talked to, and may answer. */
  admit(peer: UdpPeer, { address, port }: Decision): void {
    if (this.closed) return
    this.#byText.set(`${address}:${port}`, peer)
    const same = this.#byAddress.get(address)
    if (same === undefined) this.#byAddress.set(address, new Set([peer]))
    else same.add(peer)
    if (this.#socket === null) {
      this.#only = peer
      this.#bind(address, port)
    } else if (this.#only !== peer && !this.#isOpen) {
      this.#isOpen = true
      this.#only = null
      if (this.#ready) this.#socket.disconnect()
    }
  }

  /** It has been talked to less recently than others. */
  forget(peer: UdpPeer): void {
    const { decision } = peer
    if (decision === null || decision.action !== 'allow') return
    const { address, port } = decision
    const text = `${address}:${port}`
    if (this.#byText.get(text) === peer) this.#byText.delete(text)
    const same = this.#byAddress.get(address)
    same?.delete(peer)
    if (same?.size === 0) this.#byAddress.delete(address)
  }

  send(data: Uint8Array, decision: Decision): void {
    if (!this.#ready) {
      if (this.#early.length < 64) this.#early.push({ data, decision })
      return
    }
    this.#send(data, decision, 1)
  }

  close(): void {
    if (this.closed) return
    this.closed = true
    this.#early.length = 0
    this.#socket?.close()
    this.#socket = null
  }

  #send(data: Uint8Array, decision: Decision, retries: number): void {
    const socket = this.#socket
    if (socket === null) return
    const done = (error: Error | null): void => {
      if (error === null || this.closed) return
      // What a connected socket fails with first is about an earlier datagram: this one was not tried.
      const { code } = error as NodeJS.ErrnoException
      this.#failed(error as NodeJS.ErrnoException, decision)
      if (code === 'ECONNREFUSED' && retries > 0) this.#send(data, decision, retries - 1)
    }
    if (this.#only !== null) socket.send(data, done)
    else socket.send(data, decision.port, decision.address, done)
  }

  #bind(address: string, port: number): void {
    const socket = createSocket({
      type: 'udp4',
      lookup: (address, _options, callback) => callback(null, address, 4), // it is given addresses, never names
      recvBufferSize: 1 << 20,
      sendBufferSize: 1 << 20,
    })
    this.#socket = socket
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (this.closed || socket !== this.#socket) return
      if (this.#ready) return this.#failed(error, null)
      if (error.code === 'EADDRINUSE' && this.#attempts <= ATTEMPTS) {
        socket.close()
        this.#bind(address, port)
      } else this.#owner.failed(this, null, error)
    })
    socket.on('message', (data, from) => this.#received(data, from))
    socket.bind({ port: this.#attempts++ < ATTEMPTS ? randomInt(FIRST_PORT, LAST_PORT + 1) : 0 }, () => {
      if (this.#isOpen) return this.#bound()
      try {
        socket.connect(port, address, ((error?: NodeJS.ErrnoException) => {
          if (this.closed) return
          if (error !== undefined && error !== null) {
            // There is no way there, or nobody may go: the guest hears it once it has sent.
            this.#isOpen = true
            this.#only = null
          } else if (this.#isOpen) socket.disconnect()
          this.#bound()
        }) as () => void)
      } catch (error) {
        this.#owner.failed(this, null, error as NodeJS.ErrnoException)
      }
    })
  }

  #bound(): void {
    this.#ready = true
    for (const { data, decision } of this.#early.splice(0)) this.#send(data, decision, 1)
  }

  #received(data: Uint8Array, { address, port }: RemoteInfo): void {
    if (this.closed) return
    const peer = this.#byText.get(`${address}:${port}`)
    if (peer !== undefined) return this.#owner.received(this, data, peer.address, peer.port)
    // From another port of somebody that the guest has talked to (RFC 4787 REQ-8: by address alone).
    const [same] = this.#byAddress.get(address) ?? []
    if (same !== undefined) this.#owner.received(this, data, same.address, port)
  }

  #failed(error: NodeJS.ErrnoException, decision: Decision | null): void {
    const peer =
      decision === null ? this.#only : (this.#byText.get(`${decision.address}:${decision.port}`) ?? null)
    if (peer !== null) this.#owner.failed(this, peer, error)
  }
}
