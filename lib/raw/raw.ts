/**
 * Raw sockets (Linux's `SOCK_RAW`): each gets a copy of every datagram of its protocol that is for this host, header
 * and all, beside the protocol itself; and sends datagrams of any protocol, with a header of its own if it likes.
 */
import { isMulticast, parseIpv4, readIpv4 } from '../address/ipv4-address.ts'
import type { NetDevice } from '../device/net-device.ts'
import type { Softirq } from '../device/softirq.ts'
import { TunstackError } from '../errors.ts'
import type { IcmpErrorInfo, RawDelivery } from '../ipv4/context.ts'
import type { Ipv4 } from '../ipv4/ipv4.ts'
import { completeChecksum } from '../packet/complete-checksum.ts'
import { Checksum, type Packet } from '../packet/packet.ts'
import { DatagramInfo } from '../udp/datagram-queue.ts'
import { DropReason } from '../wire/drop-reason.ts'
import { ICMP_TYPE, IcmpType, UnreachableCode } from '../wire/icmpv4.ts'
import { IPV4_DESTINATION, IPV4_PROTOCOL, IPV4_SOURCE, IPV4_TOS, IPV4_TTL, IpProtocol } from '../wire/ipv4.ts'
import { NO_PEER, protocolNumber, type RawOptions, RawSocket } from './raw-socket.ts'

export class Raw implements RawDelivery {
  /** @internal */
  readonly ip: Ipv4
  /** @internal */
  readonly softirq: Softirq
  /** By protocol number. */
  readonly #sockets = new Map<number, RawSocket[]>()
  readonly #info = new DatagramInfo()
  #closed = false

  /** @internal */
  constructor(ip: Ipv4, softirq: Softirq) {
    this.ip = ip
    this.softirq = softirq
  }

  /**
   * A raw socket: `stack.raw.open({ protocol: 'icmp' })`.
   * @throws TunstackError `ERR_INVALID_ARG_VALUE`, `EADDRNOTAVAIL`, `ENODEV`, `ERR_STACK_CLOSED`; the reason of
   * `signal` if it is aborted already
   */
  open(options: RawOptions): RawSocket {
    if (this.#closed) throw new TunstackError('ERR_STACK_CLOSED', 'this stack was closed; make another one')
    const protocol = protocolNumber(options?.protocol)
    if (options.signal?.aborted === true) throw options.signal.reason
    const { routing } = this.ip.ctx
    const address = options.address === undefined ? 0 : parseIpv4(options.address)
    if (address !== 0 && !isMulticast(address) && routing.addresses.deviceOf(address) === null) {
      throw new TunstackError('EADDRNOTAVAIL', `${options.address} is no address of this host`, {
        value: options.address,
        syscall: 'bind',
      })
    }
    const socket = new RawSocket(this, protocol, address, options)
    const list = this.#sockets.get(protocol)
    if (list === undefined) this.#sockets.set(protocol, [socket])
    else list.push(socket)
    this.#changed()
    if (options.signal !== undefined) socket.closeWith(options.signal)
    return socket
  }

  /** @internal @throws TunstackError `ENODEV` */
  deviceOf(name: string): NetDevice {
    const device = this.ip.ctx.devices.byName(name)
    if (device !== undefined) return device
    throw new TunstackError('ENODEV', `there is no device '${name}' in this stack`, { value: name })
  }

  /** @internal */
  release(socket: RawSocket): void {
    const list = this.#sockets.get(socket.protocol)
    const at = list?.indexOf(socket) ?? -1
    if (list === undefined || at < 0) return
    list.splice(at, 1)
    if (list.length === 0) this.#sockets.delete(socket.protocol)
    this.#changed()
  }

  /** @internal Closes every socket; there will be no others. */
  close(): void {
    this.#closed = true
    for (const list of [...this.#sockets.values()]) for (const socket of [...list]) socket.close()
  }

  deliver(packet: Packet): boolean {
    const { bytes, networkHeader } = packet
    const sockets = this.#sockets.get(bytes[networkHeader + IPV4_PROTOCOL]!)
    if (sockets === undefined) return false
    const info = this.#info
    info.source = readIpv4(bytes, networkHeader + IPV4_SOURCE)
    info.destination = readIpv4(bytes, networkHeader + IPV4_DESTINATION)
    info.device = packet.iif
    info.ttl = bytes[networkHeader + IPV4_TTL]!
    info.tos = bytes[networkHeader + IPV4_TOS]!
    let taken = false
    for (const socket of sockets) {
      if (!concerns(socket, info, packet)) continue
      if (packet.checksum === Checksum.PARTIAL) completeChecksum(packet)
      // It counts as taken also if there is no room: somebody knows the protocol.
      taken = true
      if (!socket.deliver(info, bytes, networkHeader, packet.end)) {
        this.ip.ctx.mib.drop(DropReason.SOCKET_RCVBUFF)
      }
    }
    return taken
  }

  receiveError(bytes: Uint8Array, quote: number, error: IcmpErrorInfo): void {
    const sockets = this.#sockets.get(bytes[quote + IPV4_PROTOCOL]!)
    if (sockets === undefined || error.type === IcmpType.REDIRECT || error.errno === 0) return
    const local = readIpv4(bytes, quote + IPV4_SOURCE)
    const remote = readIpv4(bytes, quote + IPV4_DESTINATION)
    const tooBig = error.type === IcmpType.DEST_UNREACH && error.code === UnreachableCode.FRAG_NEEDED
    if (tooBig) this.ip.icmp.learnPathMtu(bytes, quote, error)
    for (const socket of sockets) {
      if (socket.local !== 0 && socket.local !== local) continue
      if (socket.remote !== remote) continue // as on Linux, only who has a peer hears of errors
      if (error.fatal || tooBig) socket.failed(error.errno)
    }
  }

  /** Requests to this host must not be answered unseen while somebody listens to them. */
  #changed(): void {
    const { ip } = this
    ip.raw = this.#sockets.size === 0 ? null : this
    ip.echoes.suspended = this.#sockets.has(IpProtocol.ICMP)
    ip.ctx.routing.flush()
  }
}

function concerns(socket: RawSocket, info: DatagramInfo, { bytes, transportHeader }: Packet): boolean {
  const { local, remote, deviceIndex, icmpTypes } = socket
  if (local !== 0 && local !== info.destination) return false
  if (remote !== NO_PEER && remote !== info.source) return false
  if (deviceIndex !== 0 && deviceIndex !== info.device) return false
  return icmpTypes === null || icmpTypes.has(bytes[transportHeader + ICMP_TYPE]!)
}
