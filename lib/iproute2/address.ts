/** `ip address`: its verbs, and the words of an address that is added, changed or deleted. */
import { ipv4Mask, isLoopback, isMulticast } from '../address/ipv4-address.ts'
import { Errno } from '../errors.ts'
import { type AddressConfig, AddressFlag, FOREVER, type InetAddress } from '../route/inet-address.ts'
import type { AddressAddMode, AddressSelector } from '../route/inet-addresses.ts'
import { NetlinkError, Scope } from '../route/rtnetlink.ts'
import { flushAddresses, showAddresses } from './address-list.ts'
import { type Command, findDevice } from './command.ts'
import { restoreAddresses, saveAddresses, showAddressDump } from './dump.ts'
import { Family, type InetPrefix, parseHost, parsePrefix, parseUnsigned } from './grammar.ts'
import { scopes } from './names.ts'
import { Status, talk } from './outcome.ts'
import { usage } from './usage.ts'
import {
  abbreviates,
  abbreviatesAny,
  duplicate,
  garbage,
  unknownCommand,
  type Words,
  wrong,
} from './words.ts'

const MODIFIERS: readonly (readonly [string, AddressAddMode | 'delete'])[] = [
  ['add', 'add'],
  ['change', 'change'],
  ['chg', 'change'],
  ['replace', 'replace'],
  ['delete', 'delete'],
]

/** Words that iproute2 knows as flags of an address, and what is said of those that cannot be set. */
const FLAG_WORDS: Readonly<Record<string, 'fixed' | 'six' | 'noprefixroute' | 'autojoin'>> = {
  secondary: 'fixed',
  temporary: 'fixed',
  dadfailed: 'fixed',
  deprecated: 'fixed',
  tentative: 'fixed',
  permanent: 'fixed',
  'stable-privacy': 'fixed',
  nodad: 'six',
  optimistic: 'six',
  home: 'six',
  mngtmpaddr: 'six',
  noprefixroute: 'noprefixroute',
  autojoin: 'autojoin',
}

export function address(command: Command, words: Words): number {
  if (words.done) return showAddresses(command, words)
  const { word } = words
  words.skip()
  const modifier = MODIFIERS.find(([name]) => (name === 'chg' ? word === name : abbreviates(word, name)))
  if (modifier !== undefined) return modifyAddress(command, words, modifier[1])
  if (abbreviatesAny(word, 'list', 'show', 'lst')) return showAddresses(command, words)
  if (abbreviates(word, 'flush')) return flushAddresses(command, words)
  if (abbreviates(word, 'save')) return saveAddresses(command, words)
  if (abbreviates(word, 'showdump')) return showAddressDump(command)
  if (abbreviates(word, 'restore')) return restoreAddresses(command)
  if (abbreviates(word, 'help')) throw usage('address')
  throw unknownCommand(word, 'address help')
}

interface Request {
  family: number
  local: InetPrefix | undefined
  /** As it was written, for the warning. */
  localWord: string
  peer: InetPrefix | undefined
  /** `'+'` and `'-'`: all host bits set, or none. */
  broadcast: number | '+' | '-' | undefined
  scope: number | undefined
  device: string | undefined
  label: string | undefined
  metric: number
  valid: number | undefined
  preferred: number | undefined
  noprefixroute: boolean
  autojoin: boolean
  /** An address of no length was sent: the kernel takes none such. */
  malformed: boolean
}

function modifyAddress(command: Command, words: Words, verb: AddressAddMode | 'delete'): number {
  const { output, stack } = command
  const request: Request = {
    family: command.options.family,
    local: undefined,
    localWord: '',
    peer: undefined,
    broadcast: undefined,
    scope: undefined,
    device: undefined,
    label: undefined,
    metric: 0,
    valid: undefined,
    preferred: undefined,
    noprefixroute: false,
    autojoin: false,
    malformed: false,
  }
  for (; !words.done; words.skip()) parseWord(command, request, words)

  const refuse = (text: string): number => {
    output.complain(text)
    return Status.REFUSED
  }
  if (request.device === undefined) return refuse('Not enough information: "dev" argument is required.')
  const { local, peer } = request
  const wildcard =
    verb === 'delete' && peer === undefined && local?.family === Family.INET && !local.lengthGiven
  if (wildcard) {
    output.complain('Warning: Executing wildcard deletion to stay compatible with old scripts.')
    output.complain(
      `         Explicitly specify the prefix length (${request.localWord}/32) to avoid this warning.`,
    )
    output.complain('         This special behaviour is likely to disappear in further releases,')
    output.complain('         fix your scripts!')
  }
  if (
    (request.broadcast === '+' || request.broadcast === '-') &&
    verb !== 'delete' &&
    request.family !== Family.INET
  ) {
    return refuse('Broadcast can be set only for IPv4 addresses')
  }
  // Nothing was said from which it could be made, and nothing is sent for it.
  const bits = request.broadcast === '+' || request.broadcast === '-'
  if (bits && verb !== 'delete' && local === undefined && peer === undefined) request.malformed = true
  const device = findDevice(command, request.device)
  if (device === undefined) return Status.REFUSED
  if (request.valid !== undefined || request.preferred !== undefined) {
    const { valid = FOREVER, preferred = FOREVER } = request
    if (valid === 0) return refuse('valid_lft is zero')
    if (valid < preferred) return refuse('preferred_lft is greater than valid_lft')
  }
  if (request.autojoin && (local === undefined || !isMulticast(local.address))) {
    return refuse('autojoin needs multicast address')
  }
  return talk(output, () => {
    const { family } = request
    if (family !== Family.INET && family !== Family.INET6) {
      throw new NetlinkError(Errno.EOPNOTSUPP, undefined, 'address')
    }
    const labelled = family === Family.INET && request.label !== undefined
    if (request.malformed || (labelled && request.label!.length > 15)) {
      throw new NetlinkError(Errno.ERANGE, 'Attribute failed policy validation', 'address')
    }
    // As on a machine on which IPv6 is off.
    if (family === Family.INET6 && (local === undefined || local.absent)) {
      throw new NetlinkError(Errno.EINVAL, undefined, 'address')
    }
    if (family === Family.INET6 && verb === 'delete') {
      throw new NetlinkError(Errno.EADDRNOTAVAIL, 'ipv6: address not found', 'address')
    }
    if (family === Family.INET6) {
      throw new NetlinkError(Errno.EACCES, 'ipv6: IPv6 is disabled on this device', 'address')
    }
    const { addresses, groups } = stack.routing
    if (verb === 'delete') {
      const gone = addresses.delete(device, selectorOf(request, wildcard))
      groups.autoleave(device, gone.address)
    } else {
      const config = configOf(request)
      const there = addresses.of(device).some((other) => isSame(other, config))
      if (request.autojoin && !there && !groups.autojoin(device, config.peer ?? config.local)) {
        throw new NetlinkError(Errno.EADDRINUSE, 'ipv4: Multicast auto join failed', 'address')
      }
      const added = addresses.add(device, config, stack.clock.now(), verb)
      if (request.autojoin && !there) added.flags |= AddressFlag.AUTOJOIN
    }
    stack.addressesChanged()
  })
}

function parseWord({ output }: Command, request: Request, words: Words): void {
  const { word } = words
  const known = Object.hasOwn(FLAG_WORDS, word) ? FLAG_WORDS[word] : undefined
  if (word === 'peer' || word === 'remote') {
    words.next()
    if (request.peer !== undefined && !request.peer.absent) throw duplicate('peer', words.word)
    request.peer = prefix(request, words.word)
    request.family ||= request.peer.family
  } else if (abbreviates(word, 'broadcast') || word === 'brd') {
    words.next()
    if (request.broadcast !== undefined) throw duplicate('broadcast', words.word)
    if (words.word === '+' || words.word === '-') request.broadcast = words.word
    else request.broadcast = host(request, words.word)
  } else if (word === 'anycast') {
    // Taken, and forgotten.
    const { family } = parseHost(words.next(), request.family)
    request.family ||= family
  } else if (word === 'scope') {
    const scope = scopes.parse(words.next())
    if (scope === undefined) throw wrong(words.word, 'invalid scope value.', false)
    request.scope = scope
  } else if (word === 'dev') request.device = words.next()
  else if (word === 'label') request.label = words.next()
  else if (abbreviatesAny(word, 'metric', 'priority', 'preference')) {
    const metric = parseUnsigned(words.next())
    if (metric === undefined) throw wrong(words.word, '"metric" value is invalid')
    request.metric = metric
  } else if (abbreviates(word, 'valid_lft')) {
    if (request.valid !== undefined) throw duplicate('valid_lft', word)
    request.valid = lifetime(words.next(), 'valid_lft value')
  } else if (abbreviates(word, 'preferred_lft')) {
    if (request.preferred !== undefined) throw duplicate('preferred_lft', word)
    request.preferred = lifetime(words.next(), 'preferred_lft value')
  } else if (known === 'noprefixroute') request.noprefixroute = true
  else if (known === 'autojoin') request.autojoin = true
  else if (known === 'fixed') output.complain(`Warning: ${word} option is not mutable from userspace`)
  else if (known === 'six') {
    if (request.family !== Family.INET6) {
      output.complain(`Warning: ${word} option can be set only for IPv6 addresses`)
    }
  } else {
    words.skipKeyword('local')
    if (abbreviates(words.word, 'help')) throw usage('address')
    if (request.local !== undefined && !request.local.absent) throw garbage('local', words.word)
    request.localWord = words.word
    request.local = prefix(request, words.word)
    request.family ||= request.local.family
  }
}

/** `any` and `all` have no length, and `default` has one only where the family is known. */
function prefix(request: Request, word: string): InetPrefix {
  const found = parsePrefix(word, request.family)
  const known = word === 'default' && request.family !== Family.UNSPEC
  if (found.absent && !known) request.malformed = true
  return known ? { ...found, absent: false } : found
}

function host(request: Request, word: string): number {
  const found = parseHost(word, request.family)
  if (found.absent) request.malformed = true
  request.family ||= found.family
  return found.address
}

function lifetime(word: string, what: string): number {
  const seconds = word === 'forever' ? FOREVER : parseUnsigned(word)
  if (seconds === undefined) throw wrong(word, what, false)
  return seconds
}

/** @throws NetlinkError */
function configOf(request: Request): AddressConfig {
  const { local, peer, broadcast } = request
  if (local === undefined || local.absent) {
    throw new NetlinkError(Errno.EINVAL, 'ipv4: Local address is not supplied', 'address')
  }
  const prefixLength = peer?.length || local.length
  const config: AddressConfig = {
    local: local.address,
    prefixLength,
    scope: request.scope ?? (isLoopback(local.address) ? Scope.HOST : Scope.UNIVERSE),
    noprefixroute: request.noprefixroute,
    metric: request.metric,
  }
  if (peer !== undefined) config.peer = peer.address
  if (request.label !== undefined) config.label = request.label
  if (typeof broadcast === 'number') config.broadcast = broadcast
  else if (broadcast !== undefined) {
    const base = peer ?? local
    const hostBits = ~ipv4Mask(base.length)
    if (base.length <= 30)
      config.broadcast = broadcast === '+' ? base.address | hostBits : base.address & ~hostBits
  }
  if (request.valid !== undefined || request.preferred !== undefined) {
    config.validLifetime = request.valid ?? FOREVER
    config.preferredLifetime = request.preferred ?? FOREVER
  }
  return config
}

/** Adding this would find that address there already. */
function isSame(address: InetAddress, { local, peer = local, prefixLength }: AddressConfig): boolean {
  return address.local === local && address.prefixLength === prefixLength && address.covers(peer)
}

/** @param wildcard any mask will do */
function selectorOf({ local, peer, label }: Request, wildcard: boolean): AddressSelector {
  const selector: AddressSelector = {}
  if (local !== undefined && !local.absent) {
    selector.local = local.address
    if (!wildcard) selector.prefixLength = peer?.length || local.length
  }
  if (peer !== undefined) {
    selector.peer = peer.address
    selector.prefixLength = peer.length || (local?.length ?? 0)
  }
  if (label !== undefined) selector.label = label
  return selector
}
