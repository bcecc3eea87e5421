/** What `ip link set` does to a device, in the kernel's order: what came before a refusal stays done. */
import { LinkFlag } from '../device/link-device.ts'
import { type NetDevice, QUEUE_TOO_LONG } from '../device/net-device.ts'
import { Errno } from '../errors.ts'
import { NetlinkError } from '../route/rtnetlink.ts'
import type { Stack } from '../stack/stack.ts'
import { tsoMaxSize } from './link-printer.ts'
import type { LinkRequest } from './link-words.ts'
import { formatLinkAddress } from './lladdr.ts'

/** What every packet needs for its headers: a super-segment is longer (`MAX_TCP_HEADER`). */
const GSO_MIN_SIZE = 321
const GRO_MAX_SIZE = 524_280
/** Bytes of an address of loopback; other devices have none. */
const ADDRESS_LENGTH = 6

/** Flags of which only those are told who see packets. */
const QUIET_FLAGS = LinkFlag.PROMISC | LinkFlag.ALLMULTI

const refuse = (errno: number, extack?: string): NetlinkError => new NetlinkError(errno, extack, 'link')

/** What the kernel finds wrong with a request before it looks for the device. @throws NetlinkError */
export function checkPolicy(request: LinkRequest): void {
  if (request.gsoLeastSize < GSO_MIN_SIZE) throw refuse(Errno.ERANGE, 'integer out of range')
  if (request.refused.has('linkNetns')) throw refuse(Errno.EINVAL, 'Unknown network namespace id')
}

/** @throws NetlinkError */
export function applyLink(stack: Stack, device: NetDevice, request: LinkRequest): void {
  const { refused } = request
  checkPolicy(request)
  if (request.type === 'tun') {
    throw refuse(Errno.EOPNOTSUPP, 'tun/tap creation via rtnetlink is not supported')
  }
  checkFor(device, request)
  if (refused.has('netns')) throw refuse(Errno.ESRCH)
  const flags = device.flags & ~QUIET_FLAGS
  const told = { changed: false }
  try {
    change(stack, device, request, told)
  } finally {
    // Routing looks at its carrier again, whatever it was that has changed (`NETDEV_CHANGE`).
    if (device.up && (told.changed || (device.flags & ~QUIET_FLAGS) !== flags)) {
      stack.routing.addresses.deviceCarrier(device)
    }
  }
}

/** @param told what `changed` says the kernel tells everybody who listens */
function change(stack: Stack, device: NetDevice, request: LinkRequest, told: { changed: boolean }): void {
  const { refused } = request
  const tell = (): void => void (told.changed = true)
  if (request.address !== undefined) {
    setAddress(device, request.address)
    tell()
  }
  if (request.mtu !== undefined) setMtu(device, request.mtu)
  if (request.group !== undefined) {
    device.group = request.group
    tell()
  }
  if (request.name !== undefined && request.name !== device.name) rename(stack, device, request.name)
  if (request.alias !== undefined) {
    device.alias = request.alias
    tell()
  }
  if (request.broadcast !== undefined && device.isLoopback) {
    device.hardwareBroadcast = formatLinkAddress(request.broadcast.slice(0, ADDRESS_LENGTH))
  }
  setFlags(device, request)
  if (request.up !== undefined) stack.setDeviceUp(device, request.up)
  if (refused.has('master')) throw refuse(Errno.EOPNOTSUPP)
  if (request.carrier !== undefined) setCarrier(device, request.carrier)
  if (request.queueLength !== undefined) setQueueLength(device, request.queueLength)
  if (request.gsoMaxSize !== undefined) device.gsoMaxSize = request.gsoMaxSize
  if (request.gsoMaxSegs !== undefined) device.gsoMaxSegs = request.gsoMaxSegs
  if (request.groMaxSize !== undefined) device.groMaxSize = request.groMaxSize
  if (request.state !== undefined) device.operState = request.state
  if (request.mode !== undefined && request.mode !== device.linkMode) {
    device.linkMode = request.mode
    tell()
  }
  if (refused.has('vfNumber')) throw refuse(Errno.EINVAL)
  if (refused.has('vf')) throw refuse(Errno.EOPNOTSUPP)
  if (request.addrGenMode !== undefined) {
    // Its MTU may have become too small for IPv6 just now.
    if (!device.carriesInet6) throw refuse(Errno.EAFNOSUPPORT)
    device.addrGenMode = request.addrGenMode
    tell()
  }
  if (refused.has('protodown')) throw refuse(Errno.EOPNOTSUPP, 'Protodown not supported by device')
}

/** What does not fit the device, before anything is changed (`validate_linkmsg`). */
function checkFor(device: NetDevice, request: LinkRequest): void {
  const { broadcast, gsoMaxSize, groMaxSize, addrGenMode } = request
  if (device.isLoopback && broadcast !== undefined && broadcast.length < ADDRESS_LENGTH) {
    throw refuse(Errno.EINVAL)
  }
  if (gsoMaxSize !== undefined && gsoMaxSize > tsoMaxSize(device)) {
    throw refuse(Errno.EINVAL, 'too big gso_max_size')
  }
  if (groMaxSize !== undefined && groMaxSize > GRO_MAX_SIZE) {
    throw refuse(Errno.EINVAL, 'too big gro_max_size')
  }
  if (addrGenMode === undefined) return
  if (!device.carriesInet6) throw refuse(Errno.EAFNOSUPPORT)
  // It needs a secret, which nobody has set.
  if (addrGenMode === 'stable_secret') throw refuse(Errno.EINVAL)
}

function setMtu(device: NetDevice, mtu: number): void {
  const { minMtu, maxMtu } = device.link
  if (mtu === device.mtu) return
  if (mtu < 0 || mtu < minMtu) throw refuse(Errno.EINVAL, 'mtu less than device minimum')
  if (mtu > maxMtu) throw refuse(Errno.EINVAL, 'mtu greater than device maximum')
  device.link.setMtu(mtu)
}

function rename(stack: Stack, device: NetDevice, wanted: string): void {
  let name = wanted
  if (wanted.includes('%')) {
    // One `%d`: the first number that is free.
    if (!/^[^%]*%d[^%]*$/.test(wanted)) throw refuse(Errno.EINVAL)
    let number = 0
    do name = wanted.replace('%d', `${number++}`)
    while (stack.devices.byName(name) !== undefined)
  }
  if (device.carriesInet6 && (name === 'all' || name === 'default')) {
    // The settings of IPv6 have no place under these names. By then its addresses have heard of it, as they do again
    // when the name is taken back.
    stack.routing.addresses.deviceRenamed(device)
    throw refuse(Errno.EINVAL)
  }
  stack.devices.rename(device, name)
  stack.routing.addresses.deviceRenamed(device)
}

function setFlags(device: NetDevice, { flags, flagMask }: LinkRequest): void {
  const plain = flagMask & ~QUIET_FLAGS
  device.flags = (device.flags & ~plain) | (flags & plain)
  if ((flagMask & LinkFlag.PROMISC) !== 0) device.setPromiscuous((flags & LinkFlag.PROMISC) !== 0)
  if ((flagMask & LinkFlag.ALLMULTI) !== 0) device.setAllMulticast((flags & LinkFlag.ALLMULTI) !== 0)
}

/** The carrier is the driver's: it can be asked for what is so already. */
function setCarrier(device: NetDevice, wanted: boolean): void {
  if (device.isLoopback) throw refuse(Errno.EOPNOTSUPP)
  if (wanted !== device.carrier) throw refuse(Errno.EPERM)
}

function setQueueLength(device: NetDevice, length: number): void {
  if (length >>> 0 === device.txQueueLength) return
  if (length >>> 0 >= QUEUE_TOO_LONG && device.qdisc === 'pfifo_fast') throw refuse(Errno.ENOMEM)
  device.txQueueLength = length >>> 0
}

/** An address of the link layer, which of all devices here loopback alone can be given. */
function setAddress(device: NetDevice, bytes: readonly number[]): void {
  if (!device.isLoopback) throw refuse(Errno.EOPNOTSUPP)
  const unicast = (bytes[0]! & 1) === 0
  if (!unicast || bytes.every((byte) => byte === 0)) throw refuse(Errno.EADDRNOTAVAIL)
  device.hardwareAddress = formatLinkAddress(bytes)
}
