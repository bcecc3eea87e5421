/**
 * One forwarding table: which aliases a prefix has, in which order a lookup tries them, and what add, append,
 * prepend, replace and change mean. Tables `local` and `main` share one trie until the first rule is added: so a
 * longer prefix in `main` then beats a shorter one in `local`, as in Linux.
 */
import { type Ipv4Address, ipv4Mask } from '../address/ipv4-address.ts'
import { Errno } from '../errors.ts'
import type { AliasKinds } from './fib-kinds.ts'
import { type CompleteRoute, deletionMatches } from './fib-request.ts'
import type { FibInfos } from './fib-semantics.ts'
import { FibTrie } from './fib-trie.ts'
import {
  type AliasKind,
  FibAlias,
  type FibInfo,
  type FibNexthop,
  type FibResult,
  type RouteAddMode,
} from './fib-types.ts'
import type { Flow4 } from './flow.ts'
import { NetlinkError, NexthopFlag } from './rtnetlink.ts'

/** The bits of the TOS that routes and rules look at: those of RFC 1349, as Linux still does. */
export const TOS_MASK = 0x1c

/** An alias that will not do: neither 0 nor an errno. */
const NOT_THIS = 1
/** None of the prefix will do: a nexthop object without a fitting hop ends the search among its aliases. */
const NONE_OF_THESE = 2

/** Whether next hops over a device without carrier count as dead. */
export type LinkdownPolicy = (hop: FibNexthop) => boolean

export class FibTable {
  readonly id: number
  /** Shared by `local` and `main` while there are no rules. */
  trie: FibTrie
  readonly #infos: FibInfos
  readonly #kinds: AliasKinds
  readonly #ignoresLinkdown: LinkdownPolicy

  constructor(id: number, trie: FibTrie, infos: FibInfos, ignoresLinkdown: LinkdownPolicy) {
    this.id = id
    this.trie = trie
    this.#infos = infos
    this.#kinds = infos.kinds
    this.#ignoresLinkdown = ignoresLinkdown
  }

  /**
   * Longest prefix with an alias that will do. 0 and `result` filled in, or a negative errno: what a blackhole
   * and its kin answer, -EAGAIN where nothing matches or a `throw` route does.
   * @param anyCarrier hops count also where Linux was told to ignore them for want of a carrier
   */
  lookup(flow: Flow4, result: FibResult, anyCarrier: boolean): number {
    const { trie } = this
    const held = trie.find(flow.daddr)
    const { length } = trie
    const answer = held > 0 ? this.#try(held, length, flow, result, anyCarrier) : NOT_THIS
    // Few come this far, so that the way of the others is short.
    return answer > 0 ? this.#lookFurther(held, length, flow, result, anyCarrier) : answer
  }

  /** A lookup on from a prefix of which, if it is the only one there, the alias won't do. */
  #lookFurther(held: number, length: number, flow: Flow4, result: FibResult, anyCarrier: boolean): number {
    const { trie } = this
    const { lists } = trie
    for (;;) {
      for (let cell = held < 0 ? -held : 0; cell !== 0; cell = lists.next(cell)) {
        const answer = this.#try(lists.kind(cell), length, flow, result, anyCarrier)
        if (answer <= 0) return answer
        if (answer === NONE_OF_THESE) break
      }
      held = trie.findWithin(flow.daddr, length - 1)
      if (held === 0) return -Errno.EAGAIN
      length = trie.length
      if (held < 0) continue
      const answer = this.#try(held, length, flow, result, anyCarrier)
      if (answer <= 0) return answer
    }
  }

  /** Answers with an alias of that kind if it will do; {@link NOT_THIS} if not. */
  #try(id: number, length: number, flow: Flow4, result: FibResult, anyCarrier: boolean): number {
    const kind = this.#kinds.at(id)
    if (kind.tos !== 0 && kind.tos !== (flow.tos & TOS_MASK)) return NOT_THIS
    if (kind.scope < flow.scope) return NOT_THIS
    if (kind.error !== 0) {
      result.refusedIn = kind.tableId
      return kind.error
    }
    const { info } = kind
    if ((info.flags & NexthopFlag.DEAD) !== 0) return NOT_THIS
    let { hop } = kind
    let index = 0
    if (hop === null) {
      const hops = info.nexthops
      while (index < hops.length && !this.#usable(hops[index]!, flow.oif, anyCarrier)) index++
      if (index === hops.length) return info.nexthop === null ? NOT_THIS : NONE_OF_THESE
      hop = hops[index]!
    } else if (!this.#usable(hop, flow.oif, anyCarrier)) {
      return info.nexthop === null ? NOT_THIS : NONE_OF_THESE
    }
    result.kind = kind
    result.nexthop = hop
    result.nexthopIndex = index
    result.type = kind.type
    result.destination = flow.daddr
    result.prefixLength = length
    result.tableId = this.id
    return 0
  }

  #usable(hop: FibNexthop, oif: number, anyCarrier: boolean): boolean {
    const { flags } = hop
    if ((flags & NexthopFlag.DEAD) !== 0) return false
    if (oif !== 0 && oif !== hop.device!.ifindex) return false
    return (flags & NexthopFlag.LINKDOWN) === 0 || anyCarrier || !this.#ignoresLinkdown(hop)
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
    const held = this.trie.exact(prefix, prefixLength)
    const aliases = this.#read(held)
    let first = 0
    while (first < aliases.length && this.#order(aliases[first]!, tos, info.priority) < 0) first++
    let end = first
    let match = -1
    for (; end < aliases.length && this.#order(aliases[end]!, tos, info.priority) === 0; end++) {
      if (aliases[end]!.info === info) match = end
    }
    if (end > first) {
      // There are aliases of the same identity, from `first` up to `end`.
      if (mode === 'add' || mode === 'test') throw new NetlinkError(Errno.EEXIST, undefined, 'route')
      const replaces = mode === 'replace' || mode === 'change'
      if (replaces && match === first) {
        this.#infos.release(info) // it is there already, and is counted
        return
      }
      if (match >= 0) throw new NetlinkError(Errno.EEXIST, undefined, 'route')
      if (replaces) {
        const replaced = aliases[first]!
        aliases[first] = this.#kinds.obtain(info, tos)
        this.#write(prefix, prefixLength, held, aliases)
        this.#release(replaced)
        return
      }
    }
    if (mode === 'change' || mode === 'test') throw new NetlinkError(Errno.ENOENT, undefined, 'route')
    aliases.splice(mode === 'append' ? end : first, 0, this.#kinds.obtain(info, tos))
    this.#write(prefix, prefixLength, held, aliases)
  }

  /** @throws NetlinkError `ESRCH` if there is no such route, as Linux's `fib_table_delete` */
  delete(config: CompleteRoute): void {
    const { prefix, prefixLength, tos } = config
    const held = this.trie.exact(prefix, prefixLength)
    const aliases = this.#read(held)
    for (let i = 0; i < aliases.length; i++) {
      const { tableId, tos: own, info } = aliases[i]!
      if (tableId === this.id && own === tos && deletionMatches(config, info, info.type)) {
        this.#take(prefix, prefixLength, held, aliases, i)
        return
      }
    }
    throw new NetlinkError(Errno.ESRCH, undefined, 'route')
  }

  /** Takes the given alias away; false if it is not there any more. */
  remove({ prefix, prefixLength, kind }: FibAlias): boolean {
    const held = this.trie.exact(prefix, prefixLength)
    const aliases = this.#read(held)
    const index = aliases.indexOf(kind)
    if (index >= 0) this.#take(prefix, prefixLength, held, aliases, index)
    return index >= 0
  }

  /** Takes away what is dead (`fib_table_flush`), and gives how many went. */
  flushDead(): number {
    const dead: FibAlias[] = []
    for (const alias of this.#dump(isDead)) dead.push(alias)
    for (const alias of dead) this.remove(alias)
    return dead.length
  }

  /** The table's aliases in the order in which Linux dumps them. Don't change the table meanwhile. */
  dump(): Generator<FibAlias, void, undefined> {
    return this.#dump(any)
  }

  *#dump(wanted: (kind: AliasKind) => boolean): Generator<FibAlias, void, undefined> {
    const { lists } = this.trie
    const kinds = this.#kinds
    const cursor = this.trie.cursor()
    while (cursor.next()) {
      const { prefix, length, value } = cursor
      for (let cell = value; cell !== 0; cell = cell > 0 ? 0 : -lists.next(-cell)) {
        const kind = kinds.at(cell > 0 ? cell : lists.kind(-cell))
        if (kind.tableId === this.id && wanted(kind)) yield new FibAlias(prefix, length, kind)
      }
    }
  }

  /** Takes this table's aliases out of the shared trie into one of its own. */
  unshare(): void {
    const shared = [...this.dump()]
    const left = this.trie
    for (const { prefix, prefixLength, kind } of shared) {
      const held = left.exact(prefix, prefixLength)
      const aliases = this.#read(held)
      aliases.splice(aliases.indexOf(kind), 1)
      this.#write(prefix, prefixLength, held, aliases)
    }
    this.trie = new FibTrie()
    for (const { prefix, prefixLength, kind } of shared) {
      const held = this.trie.exact(prefix, prefixLength)
      this.#write(prefix, prefixLength, held, [...this.#read(held), kind])
    }
  }

  /** Where an alias stands to one of this table with that TOS and priority: before (< 0), alike (0), after. */
  #order(alias: AliasKind, tos: number, priority: number): number {
    if (alias.tableId !== this.id) return alias.tableId > this.id ? -1 : 1
    if (alias.tos !== tos) return alias.tos > tos ? -1 : 1
    const own = alias.info.priority >>> 0
    return own === priority >>> 0 ? 0 : own < priority >>> 0 ? -1 : 1
  }

  /** What is held for a prefix, as a list of its own. */
  #read(held: number): AliasKind[] {
    const kinds = this.#kinds
    if (held > 0) return [kinds.at(held)]
    const { lists } = this.trie
    const aliases: AliasKind[] = []
    for (let cell = -held; cell !== 0; cell = lists.next(cell)) aliases.push(kinds.at(lists.kind(cell)))
    return aliases
  }

  /** Replaces what is held for a prefix. */
  #write(prefix: Ipv4Address, length: number, held: number, aliases: readonly AliasKind[]): void {
    const { trie } = this
    if (held < 0) trie.lists.release(-held)
    if (aliases.length === 0) trie.delete(prefix, length)
    else trie.set(prefix, length, aliases.length === 1 ? aliases[0]!.id : -trie.lists.create(aliases))
  }

  #take(prefix: Ipv4Address, length: number, held: number, aliases: AliasKind[], index: number): void {
    const [taken] = aliases.splice(index, 1)
    this.#write(prefix, length, held, aliases)
    this.#release(taken!)
  }

  #release(alias: AliasKind): void {
    this.#kinds.release(alias)
    this.#infos.release(alias.info)
  }
}

function isDead({ info }: AliasKind): boolean {
  return (info.flags & NexthopFlag.DEAD) !== 0
}

function any(): boolean {
  return true
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
