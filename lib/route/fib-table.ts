/**
 * One forwarding table: which aliases a prefix has, in which order a lookup tries them, and what add, append,
 * prepend, replace and change mean. Tables `local` and `main` share one trie until the first rule is added: so a
 * longer prefix in `main` then beats a shorter one in `local`, as in Linux.
 */
import { type Ipv4Address, ipv4Mask } from '../address/ipv4-address.ts'
import { Errno } from '../errors.ts'
import { type CompleteRoute, deletionMatches } from './fib-request.ts'
import { type FibInfos, ROUTE_TYPE_ERRORS } from './fib-semantics.ts'
import { FibTrie } from './fib-trie.ts'
import { FibAlias, type FibInfo, type FibNexthop, type FibResult, type RouteAddMode } from './fib-types.ts'
import type { Flow4 } from './flow.ts'
import { NetlinkError, NexthopFlag } from './rtnetlink.ts'

/** The bits of the TOS that routes and rules look at: those of RFC 1349, as Linux still does. */
export const TOS_MASK = 0x1c

/** Whether next hops over a device without carrier count as dead. */
export type LinkdownPolicy = (hop: FibNexthop) => boolean

export class FibTable {
  readonly id: number
  /** Shared by `local` and `main` while there are no rules. */
  trie: FibTrie
  readonly #infos: FibInfos
  readonly #ignoresLinkdown: LinkdownPolicy

  constructor(id: number, trie: FibTrie, infos: FibInfos, ignoresLinkdown: LinkdownPolicy) {
    this.id = id
    this.trie = trie
    this.#infos = infos
    this.#ignoresLinkdown = ignoresLinkdown
  }

  /**
   * Longest prefix with an alias that will do. 0 and `result` filled in, or a negative errno: what a blackhole
   * and its kin answer, -EAGAIN where nothing matches or a `throw` route does.
   * @param anyCarrier hops count also where Linux was told to ignore them for want of a carrier
   */
  lookup(flow: Flow4, result: FibResult, anyCarrier: boolean): number {
    const { trie } = this
    for (let node = trie.find(flow.daddr); node !== 0; node = trie.shorter(node)) {
      for (let alias = trie.head(node); alias !== null; alias = alias.next) {
        if (alias.tos !== 0 && alias.tos !== (flow.tos & TOS_MASK)) continue
        const { info } = alias
        if (info.scope < flow.scope) continue
        const error = ROUTE_TYPE_ERRORS[alias.type]!
        if (error !== 0) return error
        if ((info.flags & NexthopFlag.DEAD) !== 0) continue
        const hops = info.nexthops
        for (let i = 0; i < hops.length; i++) {
          const hop = hops[i]!
          if ((hop.flags & NexthopFlag.DEAD) !== 0) continue
          if (flow.oif !== 0 && flow.oif !== hop.device!.ifindex) continue
          if ((hop.flags & NexthopFlag.LINKDOWN) !== 0 && !anyCarrier && this.#ignoresLinkdown(hop)) continue
          result.alias = alias
          result.info = info
          result.nexthop = hop
          result.nexthopIndex = i
          result.type = alias.type
          result.scope = info.scope
          result.prefix = alias.prefix
          result.prefixLength = alias.prefixLength
          result.tableId = this.id
          return 0
        }
      }
    }
    return -Errno.EAGAIN
  }

  /** @throws NetlinkError as Linux's `fib_table_insert` */
  add(config: CompleteRoute, mode: RouteAddMode): void {
    const info = this.#infos.obtain(config)
    try {
      this.#add(config, info, mode)
    } catch (error) {
      this.#infos.release(info)
      throw error
    }
  }

  #add(config: CompleteRoute, info: FibInfo, mode: RouteAddMode): void {
    const { prefix, prefixLength, tos } = config
    const node = this.trie.exact(prefix, prefixLength)
    const head = node === 0 ? null : this.trie.head(node)
    // `before` is the last alias that stays in front of the new one; `first` begins those of the same identity.
    let before: FibAlias | null = null
    let first = head
    while (first !== null && this.#order(first, tos, info.priority) < 0) {
      before = first
      first = first.next
    }
    if (first !== null && this.#order(first, tos, info.priority) === 0) {
      if (mode === 'add' || mode === 'test') throw new NetlinkError(Errno.EEXIST, undefined, 'route')
      let last = first
      let match: FibAlias | null = null
      for (let at: FibAlias | null = first; at !== null; at = at.next) {
        if (this.#order(at, tos, info.priority) !== 0) break
        if (at.type === config.type && at.info === info && match === null) match = at
        last = at
      }
      if (mode === 'replace' || mode === 'change') {
        if (match === first) {
          this.#infos.release(info) // it is there already, and is counted
          return
        }
        if (match !== null) throw new NetlinkError(Errno.EEXIST, undefined, 'route')
        const alias = new FibAlias(prefix, prefixLength, tos, config.type, this.id, info)
        alias.next = first.next
        this.#link(node, before, alias)
        this.#infos.release(first.info)
        return
      }
      if (match !== null) throw new NetlinkError(Errno.EEXIST, undefined, 'route')
      if (mode === 'append') before = last
    }
    if (mode === 'change' || mode === 'test') throw new NetlinkError(Errno.ENOENT, undefined, 'route')
    const alias = new FibAlias(prefix, prefixLength, tos, config.type, this.id, info)
    if (node === 0) {
      this.trie.insert(prefix, prefixLength, alias)
      return
    }
    alias.next = before === null ? head : before.next
    this.#link(node, before, alias)
  }

  /** @throws NetlinkError `ESRCH` if there is no such route, as Linux's `fib_table_delete` */
  delete(config: CompleteRoute): void {
    const node = this.trie.exact(config.prefix, config.prefixLength)
    let before: FibAlias | null = null
    for (let alias = node === 0 ? null : this.trie.head(node); alias !== null; alias = alias.next) {
      if (
        alias.tableId === this.id &&
        alias.tos === config.tos &&
        deletionMatches(config, alias.info, alias.type)
      ) {
        this.#unlink(node, before, alias)
        return
      }
      before = alias
    }
    throw new NetlinkError(Errno.ESRCH, undefined, 'route')
  }

  /** Takes the given alias away; false if it is not there any more. */
  remove(target: FibAlias): boolean {
    const node = this.trie.exact(target.prefix, target.prefixLength)
    let before: FibAlias | null = null
    for (let alias = node === 0 ? null : this.trie.head(node); alias !== null; alias = alias.next) {
      if (alias === target) {
        this.#unlink(node, before, alias)
        return true
      }
      before = alias
    }
    return false
  }

  /** Takes away what is dead (`fib_table_flush`), and gives how many went. */
  flushDead(): number {
    const dead: FibAlias[] = []
    for (const alias of this.dump()) if ((alias.info.flags & NexthopFlag.DEAD) !== 0) dead.push(alias)
    for (const alias of dead) this.remove(alias)
    return dead.length
  }

  /** The table's aliases in the order in which Linux dumps them. Don't change the table meanwhile. */
  *dump(): Generator<FibAlias, void, undefined> {
    for (const node of this.trie.nodes()) {
      for (let alias = this.trie.head(node); alias !== null; alias = alias.next) {
        if (alias.tableId === this.id) yield alias
      }
    }
  }

  /** Takes this table's aliases out of the shared trie into one of its own. */
  unshare(): void {
    const shared = [...this.dump()]
    const own = new FibTrie()
    const left = this.trie
    for (const alias of shared) {
      const node = left.exact(alias.prefix, alias.prefixLength)
      detach(left, node, alias)
      alias.next = null
      const there = own.exact(alias.prefix, alias.prefixLength)
      if (there === 0) own.insert(alias.prefix, alias.prefixLength, alias)
      else tailOf(own.head(there)!).next = alias
    }
    this.trie = own
  }

  /** Where an alias stands to one of this table with that TOS and priority: before (< 0), alike (0), after. */
  #order(alias: FibAlias, tos: number, priority: number): number {
    if (alias.tableId !== this.id) return alias.tableId > this.id ? -1 : 1
    if (alias.tos !== tos) return alias.tos > tos ? -1 : 1
    const own = alias.info.priority >>> 0
    return own === priority >>> 0 ? 0 : own < priority >>> 0 ? -1 : 1
  }

  #link(node: number, before: FibAlias | null, alias: FibAlias): void {
    if (before === null) this.trie.setHead(node, alias)
    else before.next = alias
  }

  #unlink(node: number, before: FibAlias | null, alias: FibAlias): void {
    if (before !== null) before.next = alias.next
    else if (alias.next !== null) this.trie.setHead(node, alias.next)
    else this.trie.remove(node)
    this.#infos.release(alias.info)
  }
}

function detach(trie: FibTrie, node: number, target: FibAlias): void {
  let before: FibAlias | null = null
  for (let alias = trie.head(node); alias !== null && alias !== target; alias = alias.next) before = alias
  if (before !== null) before.next = target.next
  else if (target.next !== null) trie.setHead(node, target.next)
  else trie.remove(node)
}

function tailOf(alias: FibAlias): FibAlias {
  let tail = alias
  while (tail.next !== null) tail = tail.next
  return tail
}

/** @throws NetlinkError `EINVAL` for a length that is none, and for bits beyond it */
export function checkPrefix(prefix: Ipv4Address, length: number): void {
  if (!(length >= 0 && length <= 32)) {
    throw new NetlinkError(Errno.EINVAL, 'Invalid prefix length', 'route', length)
  }
  if ((prefix & ~ipv4Mask(length)) !== 0) {
    throw new NetlinkError(Errno.EINVAL, 'Invalid prefix for given prefix length', 'route', prefix)
  }
}
