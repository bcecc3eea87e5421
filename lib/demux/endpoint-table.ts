/**
 * Which endpoint a packet belongs to. Two tables: endpoints with a peer, by the whole four-tuple, and those that
 * only have a local address and port. A look-up asks the first, then the second, the more specific before the
 * less: local address before wildcard, bound to the packet's device before bound to none, IPv4 before both
 * families. That is the order that Linux's scores give (`compute_score` of UDP and TCP). Endpoints that share
 * an address and port through SO_REUSEPORT form a group, from which the hash of the flow picks.
 */
import { setUnspecified, setV4Mapped } from '../address/ip-address.ts'
import type { Random } from '../random/random.ts'
import type { HalfSipHash } from '../random/siphash.ts'
import {
  createFlowKey,
  FLOW_KEY_WORDS,
  FlowKey,
  isIpv4Local,
  isWildcardLocal,
  localPort,
} from './flow-key.ts'
import { FlowTable } from './flow-table.ts'
import { type PortRange, pickPort } from './ports.ts'

export interface BindOptions {
  /** SO_REUSEADDR: shares with others that say so too; the latest one gets the packets. */
  reuseAddress?: boolean
  /** SO_REUSEPORT: shares with others of the same `owner` that say so too; packets are spread. */
  reusePort?: boolean
  /** Who may share by `reusePort`: a user id. */
  owner?: number
  /** IPV6_V6ONLY: `::` does not stand for IPv4. */
  v6Only?: boolean
}

class Binding<E extends object> {
  readonly endpoint: E
  readonly key: Int32Array
  readonly reuseAddress: boolean
  readonly reusePort: boolean
  readonly owner: number
  readonly v6Only: boolean

  constructor(key: Int32Array, endpoint: E, options: BindOptions) {
    this.endpoint = endpoint
    this.key = key.slice(0, FLOW_KEY_WORDS)
    this.reuseAddress = options.reuseAddress ?? false
    this.reusePort = options.reusePort ?? false
    this.owner = options.owner ?? 0
    this.v6Only = options.v6Only ?? false
  }
}

/** The bindings of one address, port and device, oldest first. */
class Group<E extends object> {
  readonly members: Binding<E>[] = []

  /** @param hash of the flow */
  pick(hash: number, ipv4: boolean): E | null {
    const members = this.members
    let last: Binding<E> | null = null
    let eligible = 0
    for (const member of members) {
      if (ipv4 && member.v6Only) continue
      last = member
      eligible++
    }
    if (last === null || eligible === 1 || !last.reusePort) return last === null ? null : last.endpoint
    let index = Math.floor(((hash >>> 0) * eligible) / 0x1_0000_0000)
    for (const member of members) {
      if (ipv4 && member.v6Only) continue
      if (index-- === 0) return member.endpoint
    }
    return last.endpoint
  }
}

export interface EndpointTableOptions {
  /** Endpoints of each kind at most; 2²⁰ by default. */
  limit?: number
}

/** Endpoints of one protocol of one stack. Keys are refilled by their owners: the table copies what it keeps. */
export class EndpointTable<E extends object> {
  /** Whose the packet before was, and its key: packets of one flow come one after another. One entry, so nobody can fill it up. */
  #last: E | null = null
  readonly #lastKey = createFlowKey()
  readonly #hash: HalfSipHash
  readonly #connected: FlowTable<E>
  readonly #bound: FlowTable<Group<E>>
  readonly #limit: number
  /** By local port. Programs choose those, not the wire. */
  readonly #ports = new Map<number, Binding<E>[]>()
  readonly #scratch = createFlowKey()
  #bindings = 0
  /** Entries with a device: without any, no look-up asks for one. */
  #connectedToDevice = 0
  #boundToDevice = 0

  constructor(hash: HalfSipHash, { limit = 1 << 20 }: EndpointTableOptions = {}) {
    this.#hash = hash
    this.#limit = limit
    this.#connected = new FlowTable(hash, limit)
    this.#bound = new FlowTable(hash, limit)
  }

  /** Endpoints in both tables; one that is bound and connected counts twice. */
  get length(): number {
    return this.#connected.length + this.#bindings
  }

  /**
   * The endpoint for a packet: `key` holds its destination as local and its source as remote, and the device
   * that it came by. `null` if nobody wants it.
   */
  lookup(key: Int32Array): E | null {
    const last = this.#last
    if (last !== null && sameWords(key, this.#lastKey)) return last
    const found = this.lookupConnected(key) ?? this.lookupBound(key)
    if (found !== null) {
      this.#last = found
      this.#lastKey.set(key)
    }
    return found
  }

  /** The endpoint with exactly this four-tuple, on the key's device or on any. */
  lookupConnected(key: Int32Array): E | null {
    const device = key[FlowKey.DEVICE]!
    if (this.#connectedToDevice > 0 && device !== 0) {
      const found = this.#connected.get(key)
      if (found !== null) return found
    }
    key[FlowKey.DEVICE] = 0
    const found = this.#connected.get(key)
    key[FlowKey.DEVICE] = device
    return found
  }

  /** The best endpoint that is bound to the key's local address and port, whoever the peer is. */
  lookupBound(key: Int32Array): E | null {
    if (this.#bindings === 0) return null
    const scratch = this.#scratch
    const ipv4 = isIpv4Local(key)
    setUnspecified(scratch, FlowKey.REMOTE)
    scratch[FlowKey.PORTS] = key[FlowKey.PORTS]! & 0xffff0000
    for (let i = 0; i < 4; i++) scratch[i] = key[i]!
    const found = this.#lookupAt(scratch, key, ipv4)
    if (found !== null) return found
    if (ipv4) {
      setV4Mapped(scratch, FlowKey.LOCAL, 0)
      const wildcard = this.#lookupAt(scratch, key, ipv4)
      if (wildcard !== null) return wildcard
    }
    setUnspecified(scratch, FlowKey.LOCAL)
    return this.#lookupAt(scratch, key, ipv4)
  }

  #lookupAt(scratch: Int32Array, key: Int32Array, ipv4: boolean): E | null {
    if (this.#boundToDevice > 0 && key[FlowKey.DEVICE] !== 0) {
      scratch[FlowKey.DEVICE] = key[FlowKey.DEVICE]!
      const found = this.#pick(this.#bound.get(scratch), key, ipv4)
      if (found !== null) return found
    }
    scratch[FlowKey.DEVICE] = 0
    return this.#pick(this.#bound.get(scratch), key, ipv4)
  }

  #pick(group: Group<E> | null, key: Int32Array, ipv4: boolean): E | null {
    if (group === null) return null
    const hash = group.members.length === 1 ? 0 : this.#hash.words(key, 0, FlowKey.DEVICE)
    return group.pick(hash, ipv4)
  }

  /**
   * Binds an endpoint to the local address (`::` and `::ffff:0.0.0.0` are wildcards), port and device of `key`;
   * its remote half is ignored. `false` if that is in use (`EADDRINUSE`) or the table is full.
   */
  bind(key: Int32Array, endpoint: E, options: BindOptions = {}): boolean {
    if (this.#bindings >= this.#limit) return false
    this.#last = null
    const binding = new Binding(this.#local(key), endpoint, options)
    const port = localPort(key)
    const samePort = this.#ports.get(port)
    if (samePort?.some((other) => conflict(binding, other))) return false
    let group = this.#bound.get(binding.key)
    if (group === null) {
      group = new Group()
      this.#bound.add(binding.key, group)
    }
    group.members.push(binding)
    if (samePort === undefined) this.#ports.set(port, [binding])
    else samePort.push(binding)
    this.#bindings++
    if (binding.key[FlowKey.DEVICE] !== 0) this.#boundToDevice++
    return true
  }

  /** Undoes {@link bind}; `false` if it was not bound there. */
  unbind(key: Int32Array, endpoint: E): boolean {
    this.#last = null
    const scratch = this.#local(key)
    const port = localPort(key)
    const samePort = this.#ports.get(port)
    const at = samePort?.findIndex((each) => each.endpoint === endpoint && sameWords(each.key, scratch)) ?? -1
    if (samePort === undefined || at < 0) return false
    const binding = samePort[at]!
    const group = this.#bound.get(scratch)
    const index = group === null ? -1 : group.members.indexOf(binding)
    if (group !== null && index >= 0) {
      group.members.splice(index, 1)
      if (group.members.length === 0) this.#bound.remove(scratch)
    }
    samePort.splice(at, 1)
    if (samePort.length === 0) this.#ports.delete(port)
    this.#bindings--
    if (scratch[FlowKey.DEVICE] !== 0) this.#boundToDevice--
    return true
  }

  /** Whether {@link bind} would find the address in use. */
  inUse(key: Int32Array, options: BindOptions = {}): boolean {
    const samePort = this.#ports.get(localPort(key))
    if (samePort === undefined) return false
    const binding = new Binding<object>(this.#local(key), EMPTY, options)
    return samePort.some((other) => conflict(binding, other))
  }

  /** Enters an endpoint under its whole four-tuple and device; `false` if that is taken or the table is full. */
  connect(key: Int32Array, endpoint: E): boolean {
    this.#last = null
    if (!this.#connected.add(key, endpoint)) return false
    if (key[FlowKey.DEVICE] !== 0) this.#connectedToDevice++
    return true
  }

  /** Undoes {@link connect}; `false` if the four-tuple is not this endpoint's. */
  disconnect(key: Int32Array, endpoint: E): boolean {
    this.#last = null
    if (this.#connected.remove(key, endpoint) === null) return false
    if (key[FlowKey.DEVICE] !== 0) this.#connectedToDevice--
    return true
  }

  /**
   * A local port of `range` that is free for the local address and device of `key`, at random (RFC 6056);
   * 0 if there is none. Sets the port in `key`.
   */
  pickPort(key: Int32Array, range: PortRange, random: Random, options: BindOptions = {}): number {
    const remote = key[FlowKey.PORTS]! & 0xffff
    const port = pickPort(range, random, (candidate) => {
      key[FlowKey.PORTS] = (candidate << 16) | remote
      return !this.inUse(key, options)
    })
    key[FlowKey.PORTS] = (port << 16) | remote
    return port
  }

  /**
   * A bound endpoint is found by {@link lookupBound} no more, or again: it has a peer now, and hears nobody else. Its
   * port stays its own. `false` if it was not bound there.
   */
  setOpen(key: Int32Array, endpoint: E, open: boolean): boolean {
    this.#last = null
    const scratch = this.#local(key)
    const binding = this.#ports.get(localPort(key))?.find((each) => each.endpoint === endpoint)
    if (binding === undefined) return false
    const group = this.#bound.get(scratch)
    const index = group === null ? -1 : group.members.indexOf(binding)
    if (open === index >= 0) return true
    if (!open) {
      group!.members.splice(index, 1)
      if (group!.members.length === 0) this.#bound.remove(scratch)
    } else if (group !== null) group.members.push(binding)
    else {
      const made = new Group<E>()
      made.members.push(binding)
      this.#bound.add(binding.key, made)
    }
    return true
  }

  /** Calls back for every endpoint that is bound to a local port, oldest first; the table must not change meanwhile. */
  forEachOnPort(port: number, callback: (endpoint: E) => void): void {
    const bindings = this.#ports.get(port)
    if (bindings === undefined) return
    for (let i = 0; i < bindings.length; i++) callback(bindings[i]!.endpoint)
  }

  /** Calls back for every endpoint, bound ones first, in no order; the table must not change meanwhile. */
  forEach(callback: (endpoint: E) => void): void {
    for (const bindings of this.#ports.values()) for (const binding of bindings) callback(binding.endpoint)
    this.#connected.forEach(callback)
  }

  #local(key: Int32Array): Int32Array {
    const scratch = this.#scratch
    for (let i = 0; i < 4; i++) scratch[i] = key[i]!
    setUnspecified(scratch, FlowKey.REMOTE)
    scratch[FlowKey.PORTS] = key[FlowKey.PORTS]! & 0xffff0000
    scratch[FlowKey.DEVICE] = key[FlowKey.DEVICE]!
    return scratch
  }
}

const EMPTY = {}

function sameWords(a: Int32Array, b: Int32Array): boolean {
  for (let i = 0; i < FLOW_KEY_WORDS; i++) if (a[i] !== b[i]) return false
  return true
}

/** Can the two not live side by side? (`inet_rcv_saddr_equal` and what the bind functions of Linux make of it.) */
function conflict(a: Binding<object>, b: Binding<object>): boolean {
  const deviceA = a.key[FlowKey.DEVICE]
  const deviceB = b.key[FlowKey.DEVICE]
  if (deviceA !== 0 && deviceB !== 0 && deviceA !== deviceB) return false
  if (a.reuseAddress && b.reuseAddress) return false
  if (a.reusePort && b.reusePort && a.owner === b.owner) return false
  return overlap(a, b)
}

function overlap(a: Binding<object>, b: Binding<object>): boolean {
  const ipv4A = isIpv4Local(a.key)
  const ipv4B = isIpv4Local(b.key)
  if (ipv4A !== ipv4B) {
    // Only a dual-stack wildcard reaches over to the other family.
    const six = ipv4A ? b : a
    return isWildcardLocal(six.key) && !six.v6Only
  }
  if (isWildcardLocal(a.key) || isWildcardLocal(b.key)) return true
  for (let i = 0; i < 4; i++) if (a.key[i] !== b.key[i]) return false
  return true
}
