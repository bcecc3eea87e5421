/**
 * `ip nexthop`: next hops with a number, which routes name with `nhid`. Within one program iproute2 forgets
 * nothing: what a `show` or `flush` was narrowed to holds for those that follow it, and the count of what was
 * flushed goes on.
 */
import type { NetDevice } from '../device/net-device.ts'
import { Errno } from '../errors.ts'
import type { NexthopObject } from '../route/nexthop-object.ts'
import { NetlinkError } from '../route/rtnetlink.ts'
import type { Command } from './command.ts'
import { Family, parseHost, parseUnsigned } from './grammar.ts'
import { protocols } from './names.ts'
import { objectMessage, printNexthopObject } from './nexthop-printer.ts'
import { answerText, Status, talk } from './outcome.ts'
import { Printer } from './printer.ts'
import { usage } from './usage.ts'
import { abbreviates, abbreviatesAny, unknownCommand, type Words, wrong } from './words.ts'

export function nexthop(command: Command, words: Words): number {
  if (words.done) return showOrFlush(command, words, 'show')
  const { word } = words
  words.skip()
  if (abbreviates(word, 'add')) return modify(command, words, 'add')
  if (abbreviates(word, 'replace')) return modify(command, words, 'replace')
  if (abbreviates(word, 'delete')) return modify(command, words, 'delete')
  if (abbreviatesAny(word, 'list', 'show', 'lst')) return showOrFlush(command, words, 'show')
  if (abbreviates(word, 'get')) return get(command, words)
  if (abbreviates(word, 'flush')) return showOrFlush(command, words, 'flush')
  if (abbreviates(word, 'bucket')) return buckets(command, words)
  if (abbreviates(word, 'help')) throw usage('nexthop')
  throw unknownCommand(word, 'nexthop help')
}

/** What the words of `add`, `replace` and `del` say. */
interface Request {
  id: number | undefined
  family: number
  device: NetDevice | undefined
  gateway: number | null | undefined
  onlink: boolean
  blackhole: boolean
  group: { id: number; weight: number }[] | undefined
  protocol: number
  type: 'mpath' | 'resilient' | undefined
  fdb: boolean
  encapsulated: boolean
}

function modify(command: Command, words: Words, verb: 'add' | 'replace' | 'delete'): number {
  const request: Request = {
    id: undefined,
    family: command.options.family,
    device: undefined,
    gateway: undefined,
    onlink: false,
    blackhole: false,
    group: undefined,
    protocol: 0,
    type: undefined,
    fdb: false,
    encapsulated: false,
  }
  for (; !words.done; words.skip()) parseWord(command, request, words)
  return talk(command.output, () =>
    verb === 'delete' ? remove(command, request) : add(command, request, verb),
  )
}

/** @throws Exit */
function parseWord({ stack }: Command, request: Request, words: Words): void {
  const { word } = words
  if (word === 'id') request.id = parseId(words.next())
  else if (word === 'dev') {
    request.device = needDevice(stack.devices.byName(words.next()), words.word)
    request.family ||= Family.INET
  } else if (word === 'via') parseGateway(request, words)
  else if (word === 'encap') {
    request.encapsulated = true
    words.next()
    if (words.left > 1) words.next()
  } else if (word === 'blackhole') {
    request.blackhole = true
    request.family ||= Family.INET
  } else if (word === 'fdb') request.fdb = true
  else if (word === 'onlink') request.onlink = true
  else if (word === 'group') request.group = parseGroup(words.next())
  else if (word === 'type') parseType(request, words)
  else if (abbreviates(word, 'protocol')) {
    const protocol = protocols.parse(words.next())
    if (protocol === undefined) throw wrong(words.word, '"protocol" value is invalid')
    request.protocol = protocol
  } else if (word === 'help') throw usage('nexthop')
  else throw wrong(word, '', false)
}

/** Families by their names, where `via` takes one before the address. */
const FAMILY_NAMES: Readonly<Record<string, number>> = {
  inet: Family.INET,
  inet6: Family.INET6,
  link: Family.PACKET,
  mpls: Family.MPLS,
  bridge: Family.BRIDGE,
}

function parseGateway(request: Request, words: Words): void {
  const named = FAMILY_NAMES[words.next()]
  if (named !== undefined) words.next()
  const found = parseHost(words.word, named ?? request.family)
  if (request.family === Family.UNSPEC) request.family = found.family
  else if (request.family !== found.family) throw wrong(words.word, 'address family mismatch')
  const empty = found.absent || (words.word === 'default' && found.family === Family.UNSPEC)
  request.gateway = empty ? null : found.address
}

function parseId(word: string): number {
  const id = parseUnsigned(word)
  if (id === undefined) throw wrong(word, 'invalid id value', false)
  return id
}

function needDevice(device: NetDevice | undefined, name: string): NetDevice {
  if (device === undefined) throw wrong(name, 'Device does not exist')
  return device
}

/** `1,3/2`: numbers with weights. @throws Exit */
function parseGroup(word: string): { id: number; weight: number }[] {
  if (word === '') throw wrong(word, '"group" value is invalid')
  return word.split('/').map((part) => {
    const comma = part.indexOf(',')
    const number = comma < 0 ? part : part.slice(0, comma)
    const id = parseUnsigned(number)
    // What iproute2 complains of is the whole word, which it has cut at the first sign by then.
    if (id === undefined) throw wrong(/^[^/,]*/.exec(word)![0], '"group" value is invalid')
    if (comma < 0) return { id, weight: 1 }
    const weight = parseUnsigned(part.slice(comma + 1))
    if (weight === undefined || weight === 0 || weight > 256) {
      throw wrong(part.slice(comma + 1), '"weight" is invalid')
    }
    return { id, weight }
  })
}

function parseType(request: Request, words: Words): void {
  const type = words.next()
  if (type !== 'mpath' && type !== 'resilient') throw wrong(type, '"type" value is invalid')
  request.type = type
  if (type === 'mpath') return
  while (words.left > 1) {
    const bound = RESILIENT_WORDS[words.following]
    if (bound === undefined) return
    words.skip()
    const value = parseUnsigned(words.next(), bound.max)
    if (value === undefined) throw wrong(words.word, `invalid ${bound.name} value`, false)
  }
}

const RESILIENT_WORDS: Readonly<Record<string, { name: string; max: number }>> = {
  buckets: { name: 'buckets', max: 0xffff },
  idle_timer: { name: 'idle timer', max: 42949671 },
  unbalanced_timer: { name: 'unbalanced timer', max: 42949671 },
}

/** What no stack of IPv4 packets has is refused as a kernel without it would. @throws NetlinkError */
function add({ stack }: Command, request: Request, verb: 'add' | 'replace'): void {
  const { family, type, fdb, encapsulated } = request
  if (family !== Family.UNSPEC && family !== Family.INET && family !== Family.INET6) {
    throw new NetlinkError(Errno.EINVAL, 'Invalid address family', 'nexthop')
  }
  if (type === 'resilient' || fdb || encapsulated || family === Family.INET6) {
    throw new NetlinkError(Errno.EOPNOTSUPP, undefined, 'nexthop')
  }
  const { id = 0, gateway, device, onlink, blackhole, group, protocol } = request
  const inet = family === Family.INET
  stack.routing.fib.nexthops.add(
    { id, gateway, device, onlink, blackhole, group, protocol, inet },
    verb === 'replace',
  )
}

/** @throws NetlinkError */
function remove({ stack }: Command, request: Request): void {
  const invalid = (extack: string): NetlinkError => new NetlinkError(Errno.EINVAL, extack, 'nexthop')
  const { device, gateway, blackhole, group, type, fdb, encapsulated } = request
  const more = device !== undefined || gateway !== undefined || group !== undefined
  if (more || blackhole || type !== undefined || fdb || encapsulated) throw invalid('Unknown attribute type')
  if (request.protocol !== 0 || request.onlink) throw invalid('Invalid values in header')
  if (request.id === undefined) throw invalid('Nexthop id is missing')
  stack.routing.fib.nexthops.delete(request.id)
}

function get(command: Command, words: Words): number {
  let id = 0
  for (; !words.done; words.skip()) {
    if (words.word !== 'id') throw usage('nexthop')
    id = parseId(words.next())
  }
  if (id === 0) throw usage('nexthop')
  return showOne(command, id)
}

function showOne(command: Command, id: number): number {
  const { output } = command
  return talk(output, () => {
    if (id === 0) throw new NetlinkError(Errno.EINVAL, 'Invalid nexthop id', 'nexthop')
    const object = command.stack.routing.fib.nexthops.get(id)
    if (object === undefined) throw new NetlinkError(Errno.ENOENT, undefined, 'nexthop')
    print(command, [object])
  })
}

function print(command: Command, objects: readonly NexthopObject[]): void {
  const { output } = command
  const { protocol } = command.options.nexthops.filter
  const printer = new Printer(command.options)
  printer.begin()
  for (const object of objects) {
    if (protocol !== 0 && object.protocol !== protocol) continue
    printNexthopObject(printer, command, objectMessage(object))
    printer.text('\n')
    output.write(printer.take())
  }
  printer.end()
  output.write(printer.take())
}

function showOrFlush(command: Command, words: Words, action: 'show' | 'flush'): number {
  const { stack, options } = command
  const { filter } = options.nexthops
  const all = words.done
  for (; !words.done; words.skip()) {
    const { word } = words
    if (abbreviates(word, 'dev')) {
      filter.device = needDevice(stack.devices.byName(words.next()), words.word)
    } else if (abbreviates(word, 'groups')) filter.groups = true
    else if (abbreviates(word, 'master')) {
      needDevice(stack.devices.byName(words.next()), words.word)
      filter.enslaved = true
    } else if (abbreviates(word, 'vrf')) throw wrong(words.next(), 'Invalid VRF')
    else if (word === 'id') {
      const id = parseId(words.next())
      return action === 'show' ? showOne(command, id) : flushOne(command, id)
    } else if (abbreviates(word, 'protocol')) {
      const protocol = parseUnsigned(words.next())
      if (protocol === undefined) throw wrong(words.word, 'invalid protocol value', false)
      filter.protocol = protocol
    } else if (abbreviates(word, 'fdb')) filter.fdb = true
    else if (abbreviates(word, 'help')) throw usage('nexthop')
    else throw wrong(word, '', false)
  }
  if (action === 'flush') return flush(command, all)
  print(command, dumped(command))
  return Status.OK
}

/** What the kernel sends for the filter (`nh_dump_filtered`); protocols are for iproute2 to tell apart. */
function dumped({ stack, options }: Command): NexthopObject[] {
  const { groups, device, enslaved } = options.nexthops.filter
  return stack.routing.fib.nexthops.all().filter(({ members, hops }) => {
    if (groups && members === null) return false
    if (device === undefined && !enslaved && options.family === Family.UNSPEC) return true
    if (members !== null || enslaved) return false // no device here has a master
    return device === undefined || hops[0]!.device === device
  })
}

function flushOne({ stack, output }: Command, id: number): number {
  const status = talk(output, () => stack.routing.fib.nexthops.delete(id))
  return status === Status.OK ? Status.OK : Status.REFUSED
}

/** Without words everything goes, groups first. */
function flush(command: Command, all: boolean): number {
  const { stack, output, options } = command
  const { nexthops: memory } = options
  if (all) memory.filter = { ...memory.filter, groups: true, device: undefined, enslaved: false }
  for (let rounds = all ? 2 : 1; rounds > 0; rounds--) {
    const { protocol } = memory.filter
    for (const { id, protocol: own } of dumped(command)) {
      if (protocol !== 0 && own !== protocol) continue
      const status = talk(output, () => stack.routing.fib.nexthops.delete(id))
      if (status === Status.OK) memory.flushed++
    }
    if (all) memory.filter.groups = false
  }
  output.hold(memory.flushed === 0 ? 'Nothing to flush\n' : `Flushed ${memory.flushed} nexthops\n`)
  return Status.OK
}

/** Buckets belong to resilient groups, which there are none of: an empty list, or why an object has none. */
function buckets(command: Command, words: Words): number {
  const verb = words.done ? 'list' : words.word
  words.skip()
  if (abbreviatesAny(verb, 'list', 'show', 'lst')) return listBuckets(command, words)
  if (!abbreviates(verb, 'get')) {
    if (abbreviates(verb, 'help')) throw usage('nexthop')
    throw unknownCommand(verb, 'nexthop help')
  }
  let id = 0
  let index: number | undefined
  for (; !words.done; words.skip()) {
    if (words.word === 'id') id = parseId(words.next())
    else if (words.word === 'index') {
      index = parseUnsigned(words.next(), 0xffff)
      if (index === undefined) throw wrong(words.word, 'invalid bucket index value', false)
    } else throw usage('nexthop')
  }
  if (id === 0 || index === undefined) throw usage('nexthop')
  return talk(command.output, () => {
    throw noBuckets(command, id)
  })
}

function listBuckets(command: Command, words: Words): number {
  const { stack, options, output } = command
  const { filter } = options.nexthops
  for (; !words.done; words.skip()) {
    const { word } = words
    if (abbreviates(word, 'dev')) {
      filter.device = needDevice(stack.devices.byName(words.next()), words.word)
    } else if (abbreviates(word, 'master')) {
      needDevice(stack.devices.byName(words.next()), words.word)
      filter.enslaved = true
    } else if (abbreviates(word, 'vrf')) throw wrong(words.next(), 'Invalid VRF')
    else if (word === 'id') filter.bucketsOf = parseId(words.next())
    else if (word === 'nhid') parseId(words.next())
    else if (abbreviates(word, 'help')) throw usage('nexthop')
    else throw wrong(word, '', false)
  }
  const printer = new Printer(options)
  printer.begin()
  // Of what a list of objects may be narrowed to, the kernel knows less for buckets.
  const misfit = filter.groups || filter.fdb
  if (!misfit && filter.bucketsOf === 0) {
    printer.end()
    output.write(printer.take())
    return Status.OK
  }
  output.hold(printer.take())
  const error = misfit ? new NetlinkError(Errno.EINVAL) : noBuckets(command, filter.bucketsOf)
  if (misfit || error.extack !== undefined) output.complain(answerText(error))
  output.complain('Dump terminated')
  return Status.KERNEL
}

function noBuckets({ stack }: Command, id: number): NetlinkError {
  const object = stack.routing.fib.nexthops.get(id)
  if (object === undefined) return new NetlinkError(Errno.ENOENT, undefined, 'nexthop')
  const why = object.members === null ? 'Not a nexthop group' : 'Nexthop group not of type resilient'
  return new NetlinkError(Errno.EINVAL, why, 'nexthop')
}
