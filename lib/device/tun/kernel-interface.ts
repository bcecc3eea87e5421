/**
 * The kernel's side of the link: the network interface that other programs of this machine see and route to.
 * Its address is not the stack's; it is the peer's. Changing anything here needs CAP_NET_ADMIN, so nothing is
 * changed that is already as wanted: a process without privileges can use an interface set up beforehand.
 */
import { type Ipv4Prefix, ipv4Mask } from '../../address/ipv4-address.ts'
import { Errno } from '../../errors.ts'
import { LinkFlag } from '../link-device.ts'
import { InterfaceProperty, type TunHandle } from './driver.ts'
import { configureError } from './errors.ts'

export class KernelInterface {
  readonly #handle: TunHandle

  constructor(handle: TunHandle) {
    this.#handle = handle
  }

  /** Interface index, in the kernel's numbering. */
  get index(): number {
    return this.#get(InterfaceProperty.INDEX, 'index')
  }

  /** @throws TunstackError `ERR_TUN_PERMISSION`, `ERR_TUN_GONE`, `ERR_TUN_CLOSED`; so do the others here */
  get up(): boolean {
    return (this.#get(InterfaceProperty.FLAGS, 'flags') & LinkFlag.UP) !== 0
  }

  set up(up: boolean) {
    const flags = this.#get(InterfaceProperty.FLAGS, 'flags')
    if (((flags & LinkFlag.UP) !== 0) === up) return
    this.#set(InterfaceProperty.FLAGS, flags ^ LinkFlag.UP, 'state', up ? 'up' : 'down')
  }

  /** Bytes. */
  get mtu(): number {
    return this.#get(InterfaceProperty.MTU, 'mtu')
  }

  set mtu(mtu: number) {
    if (this.mtu !== mtu) this.#set(InterfaceProperty.MTU, mtu, 'mtu', mtu)
  }

  /** Packets that wait for this process at most; the kernel drops what comes after. */
  get txQueueLength(): number {
    return this.#get(InterfaceProperty.TX_QUEUE, 'txqueuelen')
  }

  set txQueueLength(packets: number) {
    if (this.txQueueLength !== packets) this.#set(InterfaceProperty.TX_QUEUE, packets, 'txqueuelen', packets)
  }

  /** The first IPv4 address, or `null`. */
  get address(): Ipv4Prefix | null {
    const address = this.#handle.getProperty(InterfaceProperty.ADDRESS)
    if (address === -Errno.EADDRNOTAVAIL) return null
    if (address < 0) throw configureError(address, 'address', this.#handle.name, undefined)
    const mask = this.#get(InterfaceProperty.NETMASK, 'netmask')
    return { address: address | 0, length: Math.clz32(~mask) }
  }

  /** Replaces the first IPv4 address; further ones stay. */
  setAddress(prefix: Ipv4Prefix, text: string): void {
    const present = this.address
    if (present?.address === prefix.address && present.length === prefix.length) return
    this.#set(InterfaceProperty.ADDRESS, prefix.address >>> 0, 'address', text)
    this.#set(InterfaceProperty.NETMASK, ipv4Mask(prefix.length) >>> 0, 'netmask', text)
  }

  /** The address at the other end of a point-to-point link (`peer` of `ip addr`), an unsigned integer. */
  setPeer(peer: number, text: string): void {
    if (this.#get(InterfaceProperty.PEER, 'peer') !== peer >>> 0) {
      this.#set(InterfaceProperty.PEER, peer >>> 0, 'peer', text)
    }
  }

  /** Adds a default route over it; one that is there already stays. */
  addDefaultRoute(gateway: number, text: string): void {
    const result = this.#handle.setProperty(InterfaceProperty.ROUTE, gateway >>> 0)
    if (result < 0 && -result !== Errno.EEXIST) {
      throw configureError(result, 'default route', this.#handle.name, text)
    }
  }

  /** `ip link set lo up` in its namespace, where loopback starts down. */
  bringLoopbackUp(): void {
    this.#set(InterfaceProperty.LOOPBACK, 1, 'loopback', 'up')
  }

  /** Whether the interface stays when the device is closed. Cannot be read. */
  setPersistent(persist: boolean): void {
    this.#set(InterfaceProperty.PERSIST, persist ? 1 : 0, 'persistence', persist)
  }

  /** The user id that may attach to a persistent interface without privileges. */
  setOwner(uid: number): void {
    this.#set(InterfaceProperty.OWNER, uid, 'owner', uid)
  }

  #get(property: InterfaceProperty, what: string): number {
    const value = this.#handle.getProperty(property)
    if (value < 0) throw configureError(value, what, this.#handle.name, undefined)
    return value
  }

  #set(property: InterfaceProperty, value: number, what: string, shown: unknown): void {
    const result = this.#handle.setProperty(property, value)
    if (result < 0) throw configureError(result, what, this.#handle.name, shown)
  }
}
