/**
 * Finds, or builds, and loads the native addon, and gives it the shape of a {@link TunDriver}. In an installed
 * package the binary lies in `prebuilds/`; in a checkout, or where none fits, it is compiled from `native/` once
 * and kept in `native/build/`. One binary serves every version of Node (Node-API 8).
 */
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import { TunstackError } from '../../errors.ts'
import type {
  InterfaceProperty,
  ReadCallback,
  ReceiveRing,
  TunDriver,
  TunHandle,
  TunOpenFailure,
  TunOpenRequest,
} from './driver.ts'
import { checkPlatform } from './errors.ts'

/** What identifies an open device to the addon. */
type NativeDevice = object

interface NativeOpened {
  handle: NativeDevice
  fd: number
  name: string
}

/** `native/tun.c`. */
interface Addon {
  readonly version: number
  open(path: string, name: string, vnetHeader: boolean, namespace: string): NativeOpened | TunOpenFailure
  registerArena(buffer: ArrayBuffer): number
  start(
    device: NativeDevice,
    descriptors: Uint32Array,
    headers: Uint8Array | null,
    spill: Uint32Array | null,
    maxBatch: number,
    busyMicroseconds: number,
    callback: ReadCallback,
  ): number
  resume(device: NativeDevice): number
  pause(device: NativeDevice): number
  close(device: NativeDevice): number
  ref(device: NativeDevice): number
  unref(device: NativeDevice): number
  discard(device: NativeDevice, limit: number): number
  writeBatch(
    device: NativeDevice,
    descriptors: Uint32Array,
    headers: Uint8Array | null,
    bodies: readonly (Uint8Array | null)[] | null,
    n: number,
    status: Int32Array,
  ): number
  systemCalls(device: NativeDevice, written: boolean): number
  getProperty(device: NativeDevice, property: number): number
  setProperty(device: NativeDevice, property: number, value: number): number
  interfaceIndex(name: string): number
  echoOpen(buffer: Uint8Array, callback: EchoCallback): object | number
  echoSend(echo: object, message: Uint8Array, address: number, ttl: number): number
  echoClose(echo: object): void
}

/**
 * Told of `length` bytes of an echo reply in the buffer, from `address`; or of an error about a request to `address`,
 * whose own bytes those are then: type << 8 | code of ICMP, and who has told.
 */
export type EchoCallback = (length: number, address: number, error: number, reporter: number) => void

/** `native/compile.cjs`. */
interface Compiler {
  readonly BUILT: string
  build(): string
  isStale(binary: string): boolean
  prebuiltPath(root?: string): string
}

/** `TUNSTACK_ADDON_VERSION` of `native/tun.c`. */
const ADDON_VERSION = 4

/** The package's folder: three up both from `lib/device/tun` and from `dist/device/tun`. */
const ROOT = fileURLToPath(new URL('../../../', import.meta.url))

const require = createRequire(import.meta.url)

let loaded: AddonDriver | null = null

/**
 * The driver over the native addon. Synchronous; the first call may compile for about a second.
 * @throws TunstackError `ERR_TUN_UNSUPPORTED_PLATFORM`, `ERR_TUN_NO_ADDON`, `ERR_TUN_NO_COMPILER`
 */
export function loadAddon(): AddonDriver {
  loaded ??= new AddonDriver(findAddon())
  return loaded
}

function findAddon(): Addon {
  checkPlatform()
  const compile = loadCompiler()
  const prebuilt = compile.prebuiltPath(ROOT)
  // Package managers make up modification times; only in a checkout do they say that the source was edited.
  const outdated = existsSync(`${ROOT}lib`) ? compile.isStale : (file: string) => !existsSync(file)
  const attempts: unknown[] = []
  for (const file of [prebuilt, compile.BUILT]) {
    if (outdated(file)) continue
    const addon = tryLoad(file, attempts)
    if (addon !== null) return addon
  }
  let failed: unknown
  try {
    const addon = tryLoad(compile.build(), attempts)
    if (addon !== null) return addon
  } catch (error) {
    failed = error
  }
  // Older than its source, but there, and of the right version: better than nothing.
  for (const file of [prebuilt, compile.BUILT]) {
    const addon = existsSync(file) && outdated(file) ? tryLoad(file, attempts) : null
    if (addon !== null) return addon
  }
  throw noAddon(failed ?? attempts.at(-1), prebuilt)
}

function loadCompiler(): Compiler {
  try {
    return require(`${ROOT}native/compile.cjs`) as Compiler
  } catch (cause) {
    throw new TunstackError(
      'ERR_TUN_NO_ADDON',
      `the native TUN addon is not beside this code: ${ROOT}native is missing. Do not bundle 'tunstack/tun': mark it external and install the package`,
      { value: `${ROOT}native`, cause },
    )
  }
}

function tryLoad(file: string, attempts: unknown[]): Addon | null {
  try {
    const addon = require(file) as Addon
    if (addon.version === ADDON_VERSION) return addon
    attempts.push(new Error(`${file} has version ${addon.version}; this code needs ${ADDON_VERSION}`))
  } catch (error) {
    attempts.push(error)
  }
  return null
}

function noAddon(cause: unknown, prebuilt: string): TunstackError {
  const { code, message } = cause as { code?: unknown; message: string }
  if (code === 'ERR_TUN_NO_COMPILER') {
    const text = `no prebuilt TUN addon for this machine (${prebuilt}) and ${message}; then run this again`
    return new TunstackError('ERR_TUN_NO_COMPILER', text, { value: prebuilt, cause })
  }
  return new TunstackError(
    'ERR_TUN_NO_ADDON',
    `the native TUN addon could not be loaded or built: ${message}. Sought in ${prebuilt} and in ${ROOT}native/build`,
    { value: prebuilt, cause },
  )
}

export class AddonDriver implements TunDriver {
  readonly kind = 'addon'
  readonly #addon: Addon

  constructor(addon: Addon) {
    this.#addon = addon
  }

  open(request: TunOpenRequest): TunHandle | TunOpenFailure {
    const { devicePath, name, vnetHeader, namespace = '' } = request
    const opened = this.#addon.open(devicePath, name, vnetHeader, namespace)
    return 'errno' in opened ? opened : new AddonHandle(this.#addon, opened)
  }

  interfaceIndex(name: string): number {
    return this.#addon.interfaceIndex(name)
  }

  registerArena(buffer: ArrayBuffer): number {
    return this.#addon.registerArena(buffer)
  }

  /** An echo socket of the kernel that receives into `buffer`, or a negative errno (`net.ipv4.ping_group_range`). */
  openEcho(buffer: Uint8Array, callback: EchoCallback): HostEcho | number {
    const echo = this.#addon.echoOpen(buffer, callback)
    return typeof echo === 'number' ? echo : new HostEcho(this.#addon, echo)
  }
}

/** An echo socket of the kernel. */
export class HostEcho {
  readonly #addon: Addon
  readonly #echo: object

  constructor(addon: Addon, echo: object) {
    this.#addon = addon
    this.#echo = echo
  }

  /** Sends a message, its header first: identifier and checksum are the kernel's. 0, or a negative errno. */
  send(message: Uint8Array, address: number, ttl: number): number {
    return this.#addon.echoSend(this.#echo, message, address >>> 0, ttl)
  }

  close(): void {
    this.#addon.echoClose(this.#echo)
  }
}

class AddonHandle implements TunHandle {
  readonly name: string
  readonly fd: number
  readonly #addon: Addon
  readonly #device: NativeDevice

  constructor(addon: Addon, opened: NativeOpened) {
    this.#addon = addon
    this.#device = opened.handle
    this.name = opened.name
    this.fd = opened.fd
  }

  start(ring: ReceiveRing, callback: ReadCallback): number {
    const { descriptors, headers, spill, maxBatch, busyMicroseconds } = ring
    return this.#addon.start(this.#device, descriptors, headers, spill, maxBatch, busyMicroseconds, callback)
  }

  resume(): number {
    return this.#addon.resume(this.#device)
  }

  pause(): number {
    return this.#addon.pause(this.#device)
  }

  discard(limit: number): number {
    return this.#addon.discard(this.#device, limit)
  }

  writeBatch(
    descriptors: Uint32Array,
    headers: Uint8Array | null,
    bodies: readonly (Uint8Array | null)[] | null,
    n: number,
    status: Int32Array,
  ): number {
    return this.#addon.writeBatch(this.#device, descriptors, headers, bodies, n, status)
  }

  systemCalls(written: boolean): number {
    return this.#addon.systemCalls(this.#device, written)
  }

  getProperty(property: InterfaceProperty): number {
    return this.#addon.getProperty(this.#device, property)
  }

  setProperty(property: InterfaceProperty, value: number): number {
    return this.#addon.setProperty(this.#device, property, value)
  }

  ref(): void {
    this.#addon.ref(this.#device)
  }

  unref(): void {
    this.#addon.unref(this.#device)
  }

  close(): void {
    this.#addon.close(this.#device)
  }
}
