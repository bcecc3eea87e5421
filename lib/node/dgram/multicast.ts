/** Groups of a handle, with the devices named by an address of theirs, as `struct ip_mreq` has it. */
import { formatIpv4, type Ipv4Address, parseIpv4 } from '../../address/ipv4-address.ts'
import type { NetDevice } from '../../device/net-device.ts'
import { Errno, TunstackError } from '../../errors.ts'
import type { Udp } from '../../udp/udp.ts'
import type { UdpSocket } from '../../udp/udp-socket.ts'

export class Multicast {
  readonly #udp: Udp
  #source: Ipv4Address = 0
  #device = 0

  constructor(udp: Udp) {
    this.#udp = udp
  }

  /** Where to groups are sent from and to; 0: as the routes say. */
  setInterface(socket: UdpSocket | null, address: Ipv4Address): number {
    const device = address === 0 ? null : this.#deviceOf(address)
    if (address !== 0 && device === null) return -Errno.EADDRNOTAVAIL
    this.#source = address
    this.#device = device?.ifindex ?? 0
    if (socket !== null) this.apply(socket)
    return 0
  }

  /** What was set before there was a socket. */
  apply(socket: UdpSocket): void {
    socket.setMulticastSource(this.#source, this.#device)
  }

  /** @throws TunstackError */
  change(
    socket: UdpSocket,
    group: string,
    source: string | undefined,
    at: string | undefined,
    join: boolean,
  ): void {
    const address = at === undefined ? 0 : parseIpv4(at)
    const device = address === 0 ? undefined : this.#deviceOf(address)
    if (device === null) {
      const code = join || source !== undefined ? 'ENODEV' : 'EADDRNOTAVAIL'
      throw new TunstackError(code, `no device has ${formatIpv4(address)}`, { value: at })
    }
    const options = {
      ...(device === undefined ? {} : { device: device.name }),
      ...(source === undefined ? {} : { source }),
    }
    if (join) socket.joinGroup(group, options)
    else socket.leaveGroup(group, options)
  }

  #deviceOf(address: Ipv4Address): NetDevice | null {
    return this.#udp.ip.ctx.routing.addresses.deviceOf(address)
  }
}
