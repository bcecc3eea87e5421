/** What `ip link set` does to a device, in the kernel's order: what came before a refusal stays done. */
import { LinkFlag } from '../device/link-device.ts'
import { type NetDevice, QUEUE_TOO_LONG } from '../device/net-device.ts'
import { Errno } from '../errors.ts'
import { NetlinkError } from '../route/rtnetlink.ts'
import type { Stack } from '../stack/stack.ts'
import type { LinkRequest } from './link-words.ts'

const refuse = (errno: number, extack?: string): NetlinkError => new NetlinkError(errno, extack, 'link')

/** @throws NetlinkError */
export function applyLink(stack: Stack, device: NetDevice, request: LinkRequest): void {
  const { type } = request
  if (type === 'tun' || type === 'tap') {
    throw refuse(Errno.EOPNOTSUPP, 'tun/tap creation via rtnetlink is not supported')
  }
  if (type !== undefined) throw refuse(Errno.EOPNOTSUPP)
  if (request.netns) throw refuse(Errno.ESRCH)
  if (request.address !== undefined) setAddress(device, request.address)
  if (request.mtu !== undefined) setMtu(device, request.mtu)
  if (request.group !== undefined) device.group = request.group
  if (request.name !== undefined && request.name !== device.name) rename(stack, device, request.name)
  if (request.alias !== undefined) device.alias = request.alias
  if (request.broadcast !== undefined && device.isLoopback) {
    device.hardwareBroadcast = formatBytes(request.broadcast)
  }
  setFlags(device, request)
  if (request.up !== undefined) stack.setDeviceUp(device, request.up)
  if (request.master) throw refuse(Errno.EOPNOTSUPP)
  if (request.carrier) throw refuse(device.isLoopback ? Errno.EOPNOTSUPP : Errno.EPERM)
  if (request.queueLength !== undefined) setQueueLength(device, request.queueLength)
  if (request.protodown) throw refuse(Errno.EOPNOTSUPP, 'Protodown not supported by device')
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
  stack.devices.rename(device, name)
  stack.routing.addresses.deviceRenamed(device)
}

function setFlags(device: NetDevice, { flags, flagMask }: LinkRequest): void {
  const plain = flagMask & ~(LinkFlag.PROMISC | LinkFlag.ALLMULTI)
  device.flags = (device.flags & ~plain) | (flags & plain)
  if ((flagMask & LinkFlag.PROMISC) !== 0) device.setPromiscuous((flags & LinkFlag.PROMISC) !== 0)
  if ((flagMask & LinkFlag.ALLMULTI) !== 0) device.setAllMulticast((flags & LinkFlag.ALLMULTI) !== 0)
}

function setQueueLength(device: NetDevice, length: number): void {
  if (length >>> 0 === device.txQueueLength) return
  if (length >>> 0 >= QUEUE_TOO_LONG && device.qdisc === 'pfifo_fast') throw refuse(Errno.ENOMEM)
  device.txQueueLength = length >>> 0
}

/** An address of the link layer, which of all devices here loopback alone can be given. */
function setAddress(device: NetDevice, text: string): void {
  if (!device.isLoopback) throw refuse(Errno.EOPNOTSUPP)
  const address = formatBytes(text)
  if (address.length !== 17) throw refuse(Errno.EINVAL)
  const unicast = (Number.parseInt(address.slice(0, 2), 16) & 1) === 0
  if (!unicast || address === '00:00:00:00:00:00') throw refuse(Errno.EADDRNOTAVAIL)
  device.hardwareAddress = address
}

/** `0:a:…` as `00:0a:…`. */
function formatBytes(text: string): string {
  return text
    .split(':')
    .map((byte) => byte.toLowerCase().padStart(2, '0'))
    .join(':')
}
