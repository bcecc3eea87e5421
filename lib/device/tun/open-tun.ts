/**
 * Opens a TUN device: a new one, or an existing persistent one by its name, and sets up the kernel's side of
 * the link. What an option leaves out stays as it is, and what is already as wanted is not touched, so that a
 * user without privileges can open an interface that was made for him.
 */
import { type Ipv4Prefix, parseIpv4, parseIpv4Prefix } from '../../address/ipv4-address.ts'
import { Errno, invalidArgument } from '../../errors.ts'
import type { TunDriver, TunHandle } from './driver.ts'
import { configureError, invalidName, namespaceError, openError } from './errors.ts'
import { loadDriver } from './load-driver.ts'
import { NO_OFFLOADS, negotiateOffload, type TunOffload, wantedOffload } from './offload.ts'
import { TunDevice } from './tun-device.ts'

export interface TunOptions {
  /** Interface name; omitted, or with `%d` in it (`'vpn%d'`), the kernel chooses. An existing TUN is attached to. */
  name?: string
  /** Default `/dev/net/tun`. */
  devicePath?: string
  /**
   * The network namespace in which the interface is to be, while this process stays where it is: the id of a process in
   * it, a path, or a name that `ip netns` knows. Without root it may be one that this user has made (`unshare -rn`).
   */
  namespace?: number | string
  /** Gateway of a default route over the interface, if its namespace has none: an address of the stack. */
  defaultRoute?: string
  /** `true`: the interface stays when the device is closed; `false`: it goes. Omitted: as it was, or goes. */
  persist?: boolean
  /** User id that may open the persistent interface without privileges. */
  owner?: number
  /** IPv4 address of the **kernel's** side: `'10.9.0.1/24'`. The stack's own is `nic.addAddress()`. */
  address?: string
  /** The address at the other end, if the link is to be point-to-point. */
  peer?: string
  /** 68…65535 bytes. */
  mtu?: number
  /** Whether the kernel's side is brought up; default true. False leaves it as it is. */
  up?: boolean
  /** Packets that may wait in the kernel for this process; Linux's default is 500. */
  txQueueLength?: number
  /**
   * Checksums left open and super-segments, in both directions: as much as the kernel has (the default), none
   * (`false`), or some (`{ uso: false }`). What came of it is in `tun.offload`.
   */
  offload?: boolean | Partial<TunOffload>
  /**
   * Keeps looking for packets so long after the last one before the event loop may sleep: `'50us'`, up to `'10ms'`.
   * Answers come sooner, at the price of a CPU that is busy meanwhile. Off by default.
   */
  busyPoll?: string
  /**
   * The way to the kernel: by default the native addon, or `koffi` where there is neither addon nor compiler;
   * which it is says `tun.driver`.
   */
  driver?: 'addon' | 'koffi' | TunDriver
}

/**
 * Opens a TUN device.
 * @throws TunstackError `ERR_TUN_PERMISSION`, `ERR_TUN_NO_DEVICE_NODE`, `ERR_TUN_NO_ADDON`, `ERR_TUN_NO_COMPILER`,
 *   `ERR_TUN_NAME_TAKEN`, `ERR_TUN_NAME_INVALID`, `ERR_TUN_NOT_A_TUN`, `ERR_TUN_UNSUPPORTED_PLATFORM`,
 *   `ERR_INVALID_ARG_VALUE`, or the name of another errno of the system
 */
export async function openTun(options: TunOptions = {}): Promise<TunDevice> {
  return openTunSync(options)
}

/**
 * {@link openTun} without the promise, for constructors. It blocks for microseconds, unless the addon has to be
 * compiled first.
 * @throws TunstackError as {@link openTun}
 */
export function openTunSync(options: TunOptions = {}): TunDevice {
  if (typeof options !== 'object' || options === null) {
    throw invalidArgument('options', options, "an object, such as { name: 'tun0' }")
  }
  const { name = '', devicePath = '/dev/net/tun', mtu, txQueueLength, owner, persist, up = true } = options
  checkName(name)
  checkPath(devicePath)
  checkInteger('mtu', mtu, 68, 65535)
  checkInteger('txQueueLength', txQueueLength, 0, 0x7fffffff)
  checkInteger('owner', owner, 0, 0xfffffffe)
  const namespace = namespacePath(options.namespace)
  const gateway = options.defaultRoute === undefined ? null : parseIpv4(options.defaultRoute)
  const address = options.address === undefined ? null : parseHostAddress(options.address)
  const peer = options.peer === undefined ? null : parseIpv4(options.peer)

  const offload = wantedOffload(options.offload)
  const busyMicroseconds = parseBusyPoll(options.busyPoll)

  const driver = typeof options.driver === 'object' ? options.driver : loadDriver(checkDriver(options.driver))
  const { handle, vnetHeader } = openHandle(driver, devicePath, name, offload.checksum, namespace)
  try {
    const granted = negotiateOffload(handle, vnetHeader ? offload : NO_OFFLOADS)
    if (typeof granted === 'number') throw configureError(granted, 'offload', handle.name, undefined)
    const device = new TunDevice(driver, handle, { vnetHeader, offload: granted, busyMicroseconds })
    const { kernel } = device
    if (owner !== undefined) kernel.setOwner(owner)
    if (persist !== undefined) kernel.setPersistent(persist)
    if (mtu !== undefined) device.setMtu(mtu)
    if (txQueueLength !== undefined) kernel.txQueueLength = txQueueLength
    if (address !== null) kernel.setAddress(address, options.address!)
    if (peer !== null) kernel.setPeer(peer, options.peer!)
    if (up) kernel.up = true
    if (namespace !== '' && up) kernel.bringLoopbackUp()
    if (gateway !== null) kernel.addDefaultRoute(gateway, options.defaultRoute!)
    return device
  } catch (error) {
    handle.close()
    throw error
  }
}

/** With a `virtio_net_hdr` if one is wanted and the kernel knows it. */
function openHandle(
  driver: TunDriver,
  devicePath: string,
  name: string,
  wanted: boolean,
  namespace: string,
): { handle: TunHandle; vnetHeader: boolean } {
  const where = namespace === '' ? { devicePath, name } : { devicePath, name, namespace }
  let handle = driver.open({ ...where, vnetHeader: wanted })
  if (!('errno' in handle)) return { handle, vnetHeader: wanted }
  if (wanted && -handle.errno === Errno.EINVAL) {
    handle = driver.open({ ...where, vnetHeader: false })
    if (!('errno' in handle)) return { handle, vnetHeader: false }
  }
  if (['open namespace', 'clone', 'setns'].includes(handle.syscall)) {
    throw namespaceError(handle.errno, handle.syscall, namespace)
  }
  const exists = name !== '' && namespace === '' && driver.interfaceIndex(name) > 0
  throw openError(handle.errno, handle.syscall, { devicePath, name, exists })
}

function checkDriver(driver: unknown): 'addon' | 'koffi' | undefined {
  if (driver === undefined || driver === 'addon' || driver === 'koffi') return driver
  throw invalidArgument('driver', driver, "'addon' or 'koffi'")
}

/** Where the kernel has a namespace that is given as the id of a process, a path or a name. */
function namespacePath(namespace: unknown): string {
  if (namespace === undefined) return ''
  if (typeof namespace === 'number' && Number.isInteger(namespace) && namespace > 0) {
    return `/proc/${namespace}/ns/net`
  }
  const valid = typeof namespace === 'string' && namespace !== '' && namespace.length <= 1000
  if (!valid || namespace.includes('\0') || namespace === '.' || namespace === '..') {
    throw invalidArgument('namespace', namespace, 'the id of a process, a path, or a name of `ip netns`')
  }
  return namespace.includes('/') ? namespace : `/run/netns/${namespace}`
}

function parseBusyPoll(text: unknown): number {
  if (text === undefined) return 0
  const match = typeof text === 'string' ? /^(\d{1,5})(us|µs|ms)$/.exec(text) : null
  const microseconds = match === null ? -1 : Number(match[1]) * (match[2] === 'ms' ? 1000 : 1)
  if (microseconds < 0 || microseconds > 10_000) {
    throw invalidArgument('busyPoll', text, "a time such as '50us', at most '10ms'")
  }
  return microseconds
}

function checkName(name: unknown): void {
  if (name === '') return
  const valid =
    typeof name === 'string' &&
    /^[^/:\s\0]+$/.test(name) &&
    name !== '.' &&
    name !== '..' &&
    !name.replace('%d', '').includes('%') &&
    new TextEncoder().encode(name).length <= 15
  if (!valid) throw invalidName(name)
}

function checkPath(path: unknown): void {
  if (typeof path !== 'string' || path === '' || path.includes('\0') || path.length > 1000) {
    throw invalidArgument('devicePath', path, 'the path of the TUN device node, such as /dev/net/tun')
  }
}

function checkInteger(what: string, value: unknown, least: number, most: number): void {
  if (value === undefined) return
  if (typeof value !== 'number' || !Number.isInteger(value) || value < least || value > most) {
    throw invalidArgument(what, value, `an integer from ${least} to ${most}`)
  }
}

function parseHostAddress(text: string): Ipv4Prefix {
  const prefix = parseIpv4Prefix(text)
  if (prefix.address === 0)
    throw invalidArgument('address', text, "the address of the kernel's side, such as 10.9.0.1/24")
  return prefix
}
