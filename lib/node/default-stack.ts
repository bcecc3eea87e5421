/**
 * The stack that a process has without making one: `tunstack/net`, `tunstack/dgram` and `tunstack/register` stand on
 * it. It is configured by a call before its first use or by environment variables; without either it is a loopback, in
 * which the process can talk to itself.
 */
import { readFileSync } from 'node:fs'
import { isMainThread } from 'node:worker_threads'
import { openTunSync } from '../device/tun/index.ts'
import { TunstackError } from '../errors.ts'
import { ip, ipBatch } from '../iproute2/ip.ts'
import { Stack } from '../stack/stack.ts'
import { type NodeSockets, nodeSockets } from './sockets.ts'

export interface DefaultStackOptions {
  /** Name of a TUN device to attach to, which is made if there is none. `TUNSTACK_TUN`; none by default. */
  tun?: string
  /** The stack's addresses on it, or on its loopback, as `10.9.0.1/24`. `TUNSTACK_ADDRESS`, separated by spaces or commas. */
  addresses?: readonly string[]
  /** Routes, each as `ip route add` takes it. `TUNSTACK_ROUTE`, separated by semicolons. */
  routes?: readonly string[]
  /** Bytes, 68…65535. `TUNSTACK_MTU`; as the device has it by default. */
  mtu?: number
  /** Commands as for `ip -batch`, run last. `TUNSTACK_SCRIPT` names a file of them. */
  script?: string
  /** As `/etc/hosts` has it. `TUNSTACK_HOSTS` names a file of it. */
  hosts?: string
  /** Addresses of DNS servers, with `:port` or without. `TUNSTACK_DNS`, separated by spaces or commas. */
  servers?: readonly string[]
}

let options: DefaultStackOptions | null = null
let sockets: NodeSockets | null = null

/**
 * Says what the process's default stack is to be, before it is first used; what is left out comes from the environment.
 * @throws TunstackError `ERR_ALREADY_CONFIGURED` if it is in use
 */
export function configureDefaultStack(wanted: DefaultStackOptions): void {
  if (sockets !== null) {
    throw new TunstackError(
      'ERR_ALREADY_CONFIGURED',
      'the default stack is in use already; configure it before anything that uses it is loaded',
    )
  }
  options = wanted
}

/**
 * Node's modules over the default stack, which is made now if it was not before.
 * @throws TunstackError what `openTun` throws, `ERR_INVALID_ARG_VALUE`, and `ERR_DEFAULT_STACK` with what a command of `ip` says
 */
export function defaultSockets(): NodeSockets {
  if (sockets !== null) return sockets
  const { tun, addresses, routes, mtu, script, hosts, servers } = { ...fromEnvironment(), ...options }
  const stack = new Stack()
  let nic = stack.loopback
  // A thread has a stack of its own; the device can be only one's.
  if (tun !== undefined && isMainThread) {
    const device = openTunSync({ name: tun, ...(mtu === undefined ? {} : { mtu }) })
    device.unref() // what is open on the stack keeps the process alive, as with the kernel
    nic = stack.addDevice(device)
  }
  if (tun === undefined || isMainThread) {
    for (const address of addresses ?? []) nic.addAddress(address)
    for (const route of routes ?? []) run(ip(stack, `route add ${route}`), `route add ${route}`)
    if (script !== undefined) run(ipBatch(stack, script), 'the script')
  }
  sockets = nodeSockets(stack, {
    localSockets: true, // they are no network, and where a `net` is asked for they are expected
    ...(hosts === undefined ? {} : { hosts }),
    ...(servers === undefined ? {} : { servers }),
  })
  return sockets
}

/** The default stack itself. @throws TunstackError as {@link defaultSockets} */
export function defaultStack(): Stack {
  return defaultSockets().stack
}

function fromEnvironment(): DefaultStackOptions {
  const { env } = process
  const words = (name: string, separator: RegExp): string[] | undefined => {
    const found = env[name]?.split(separator).filter((word) => word.trim() !== '')
    return found?.length === 0 ? undefined : found
  }
  const file = (name: string): string | undefined => {
    const path = env[name]
    return path ? readFileSync(path, 'utf8') : undefined
  }
  const entries: Partial<Record<keyof DefaultStackOptions, unknown>> = {
    tun: env['TUNSTACK_TUN'] || undefined,
    addresses: words('TUNSTACK_ADDRESS', /[\s,]+/),
    routes: words('TUNSTACK_ROUTE', /;/),
    mtu: env['TUNSTACK_MTU'] ? Number(env['TUNSTACK_MTU']) : undefined,
    script: file('TUNSTACK_SCRIPT'),
    hosts: file('TUNSTACK_HOSTS'),
    servers: words('TUNSTACK_DNS', /[\s,]+/),
  }
  return Object.fromEntries(Object.entries(entries).filter(([, value]) => value !== undefined))
}

/** @throws TunstackError `ERR_DEFAULT_STACK` */
function run({ status, stderr }: { status: number; stderr: string }, what: string): void {
  if (status === 0) return
  throw new TunstackError('ERR_DEFAULT_STACK', `${what}: ${stderr.trim()}`, { value: what })
}
