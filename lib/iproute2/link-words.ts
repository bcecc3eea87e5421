/** The words of `ip link set` and its kin, in the order in which iproute2 compares them. */
import { LinkFlag } from '../device/link-device.ts'
import { OPER_STATES, type OperState } from '../device/net-device.ts'
import { Errno } from '../errors.ts'
import { type Command, deviceNamed } from './command.ts'
import {
  invalidLinkAddress,
  isAltName,
  isDeviceName,
  parseLinkAddress,
  parseSigned,
  parseUnsigned,
} from './grammar.ts'
import { groups } from './names.ts'
import { Exit, Status } from './outcome.ts'
import { usage } from './usage.ts'
import { abbreviates, abbreviatesAny, duplicate, garbage, incomplete, type Words, wrong } from './words.ts'

/** What no device here does; the kernel's answer to it. */
export type Refused = 'protodown' | 'netns' | 'linkNetns' | 'master' | 'vf' | 'vfNumber'

export interface LinkRequest {
  device: string | undefined
  name: string | undefined
  /** The device is the one of that name, as none was named otherwise. */
  deviceByName: boolean
  /** A number for a device that is made. */
  index: boolean
  /** The device under one that is made. */
  link: string | undefined
  up: boolean | undefined
  mtu: number | undefined
  queueLength: number | undefined
  queues: { tx: boolean; rx: boolean }
  group: number | undefined
  alias: string | undefined
  address: readonly number[] | undefined
  broadcast: readonly number[] | undefined
  /** `LinkFlag` bits that are wanted, of those in `flagMask`. */
  flags: number
  flagMask: number
  carrier: boolean | undefined
  state: OperState | undefined
  mode: 'DEFAULT' | 'DORMANT' | undefined
  addrGenMode: string | undefined
  gsoMaxSize: number | undefined
  /** Of several, each must be in range. */
  gsoLeastSize: number
  gsoMaxSegs: number | undefined
  groMaxSize: number | undefined
  refused: Set<Refused>
  type: string | undefined
}

/** `on` sets the flag, or with `inverted` clears it. */
const SWITCHES: Readonly<Record<string, { flag: number; inverted: boolean }>> = {
  multicast: { flag: LinkFlag.MULTICAST, inverted: false },
  allmulticast: { flag: LinkFlag.ALLMULTI, inverted: false },
  promisc: { flag: LinkFlag.PROMISC, inverted: false },
  trailers: { flag: LinkFlag.NOTRAILERS, inverted: true },
  arp: { flag: LinkFlag.NOARP, inverted: true },
}

const ADDR_GEN_MODES = ['eui64', 'none', 'stable_secret', 'random']
const MODES = ['DEFAULT', 'DORMANT'] as const
const SIZES = { gso_max_size: 'gsoMaxSize', gso_max_segs: 'gsoMaxSegs', gro_max_size: 'groMaxSize' } as const
const LLADDR_MAX = 32
/** Bytes of an address of loopback; other devices have none. */
const LOOPBACK_LENGTH = 6

/** Or an exit status, after a complaint. @throws Exit */
export function parseLinkRequest(command: Command, words: Words): LinkRequest | number {
  const request: LinkRequest = {
    device: undefined,
    name: undefined,
    deviceByName: false,
    index: false,
    link: undefined,
    up: undefined,
    mtu: undefined,
    queueLength: undefined,
    queues: { tx: false, rx: false },
    group: undefined,
    alias: undefined,
    address: undefined,
    broadcast: undefined,
    flags: 0,
    flagMask: 0,
    carrier: undefined,
    state: undefined,
    mode: undefined,
    addrGenMode: undefined,
    gsoMaxSize: undefined,
    gsoLeastSize: Number.POSITIVE_INFINITY,
    gsoMaxSegs: undefined,
    groMaxSize: undefined,
    refused: new Set(),
    type: undefined,
  }
  for (; !words.done; words.skip()) {
    const status = parseWord(command, request, words)
    if (status !== Status.OK) return status
    // What follows the type of a device is that type's business.
    if (request.type !== undefined) {
      words.skip()
      break
    }
  }
  return request
}

/** An exit status. @throws Exit */
function parseWord(command: Command, request: LinkRequest, words: Words): number {
  const { word } = words
  if (word === 'up') request.up = true
  else if (word === 'down') request.up = false
  else if (word === 'name') {
    if (request.name !== undefined) throw duplicate('name', words.next())
    if (!isDeviceName(words.next())) throw wrong(words.word, '"name" not a valid ifname', false)
    request.name = words.word
    if (request.device === undefined) {
      request.device = request.name
      request.deviceByName = true
    }
  } else if (word === 'index') {
    words.next()
    if (request.index) throw duplicate('index', words.word)
    const index = parseSigned(words.word)
    if (index === undefined || index <= 0) throw wrong(words.word, 'Invalid "index" value', false)
    request.index = true
  } else if (abbreviates(word, 'link')) request.link = words.next()
  else if (abbreviates(word, 'address')) return parseBytes(command, request, words, 'address')
  else if (abbreviates(word, 'broadcast') || word === 'brd') {
    return parseBytes(command, request, words, 'broadcast')
  } else if (abbreviates(word, 'txqueuelen') || word === 'qlen' || abbreviates(word, 'txqlen')) {
    request.queueLength = integer(words, request.queueLength, 'txqueuelen')
  } else if (word === 'mtu') request.mtu = integer(words, request.mtu, 'mtu')
  else if (['xdpgeneric', 'xdpdrv', 'xdpoffload', 'xdp'].includes(word)) parseProgram(words)
  else if (word === 'netns') {
    words.next()
    if (request.refused.has('netns')) throw duplicate('netns', words.word)
    if (parseSigned(words.word) === undefined) throw wrong(words.word, 'Invalid "netns" value')
    request.refused.add('netns')
  } else if (Object.hasOwn(SWITCHES, word)) return parseSwitch(command, request, words, SWITCHES[word]!)
  else if (word === 'carrier') {
    request.carrier = offOrOn(words.next())
    if (request.carrier === undefined) return refuseSwitch(command, word, words.word)
  } else if (word === 'vf') return parseFunction(command, request, words)
  else return parseRest(command, request, words)
  return Status.OK
}

function parseRest(command: Command, request: LinkRequest, words: Words): number {
  const { word } = words
  if (abbreviates(word, 'master')) {
    if (deviceNamed(command, words.next()) === undefined) {
      throw wrong(words.word, 'Device does not exist')
    }
    request.refused.add('master')
  } else if (word === 'vrf') throw wrong(words.next(), 'Not a valid VRF name')
  else if (abbreviates(word, 'nomaster')) request.refused.delete('master')
  else if (abbreviates(word, 'dynamic')) {
    return parseSwitch(command, request, words, { flag: LinkFlag.DYNAMIC, inverted: false }, 'dynamic')
  } else if (abbreviates(word, 'type')) request.type = words.next()
  else if (abbreviates(word, 'alias')) {
    if (words.next().length >= 256) throw wrong(words.word, 'alias too long')
    request.alias = words.word
  } else if (word === 'group') {
    words.next()
    if (request.group !== undefined) throw duplicate('group', words.word)
    request.group = groups.parse(words.word)
    if (request.group === undefined) throw wrong(words.word, 'Invalid "group" value')
  } else if (word === 'mode') {
    const mode = words.next().toUpperCase()
    request.mode = MODES.find((each) => each === mode)
    if (request.mode === undefined) throw wrong(words.word, 'Invalid link mode')
  } else if (word === 'state') {
    const state = words.next().toUpperCase()
    request.state = OPER_STATES.find((each) => each === state)
    if (request.state === undefined) throw wrong(words.word, 'Invalid operstate')
  } else if (abbreviates(word, 'numtxqueues')) parseQueues(request, words, 'tx')
  else if (abbreviates(word, 'numrxqueues')) parseQueues(request, words, 'rx')
  else if (abbreviates(word, 'addrgenmode')) {
    const mode = words.next().toLowerCase()
    request.addrGenMode = ADDR_GEN_MODES.find((each) => each === mode)
    if (request.addrGenMode === undefined) throw wrong(words.word, 'Invalid address generation mode')
  } else if (word === 'link-netns') throw wrong(words.next(), 'Invalid "link-netns" value')
  else if (word === 'link-netnsid') {
    words.next()
    if (request.refused.has('linkNetns')) throw duplicate('link-netns/link-netnsid', words.word)
    if (parseSigned(words.word) === undefined) throw wrong(words.word, 'Invalid "link-netnsid" value')
    request.refused.add('linkNetns')
  } else if (word === 'protodown') {
    if (offOrOn(words.next()) === undefined) return refuseSwitch(command, word, words.word)
    request.refused.add('protodown')
  } else if (word === 'protodown_reason') {
    const reason = parseUnsigned(words.next())
    if (reason === undefined || reason > 31) throw wrong(words.word, 'invalid protodown reason')
    if (offOrOn(words.next()) === undefined && onOff(command, word, words.word) === undefined) {
      return Status.REFUSED
    }
    request.refused.add('protodown')
  } else if (word === 'gso_max_size' || word === 'gso_max_segs' || word === 'gro_max_size') {
    const size = parseUnsigned(words.next(), word === 'gso_max_segs' ? 65535 : 0xffffffff)
    if (size === undefined) throw wrong(words.word, `Invalid "${word}" value`)
    request[SIZES[word]] = size
    if (word === 'gso_max_size') request.gsoLeastSize = Math.min(request.gsoLeastSize, size)
  } else if (word === 'parentdev') words.next()
  else {
    if (abbreviates(word, 'help')) throw usage('link')
    words.skipKeyword('dev')
    const taken = request.device !== undefined && !request.deviceByName
    if (taken) throw garbage('dev', words.word)
    request.deviceByName = false
    if (!isAltName(words.word)) throw wrong(words.word, '"dev" not a valid ifname', false)
    request.device = words.word
  }
  return Status.OK
}

function parseBytes(
  { output }: Command,
  request: LinkRequest,
  words: Words,
  key: 'address' | 'broadcast',
): number {
  const bytes = parseLinkAddress(words.next(), LLADDR_MAX)
  if (typeof bytes !== 'string') {
    request[key] = bytes
    return Status.OK
  }
  output.complain(invalidLinkAddress(bytes))
  return Status.REFUSED
}

/** A program for packets: none can be loaded, and `off` takes none away. */
function parseProgram(words: Words): void {
  const mode = words.next()
  if (words.left === 1 && (mode === 'off' || mode === 'none')) return
  if (mode === 'obj' || abbreviates(mode, 'object-file')) {
    words.next()
    throw new Exit(Status.USAGE, 'Cannot initialize ELF context!')
  }
  if (abbreviatesAny(mode, 'object-pinned', 'pinned', 'fd')) {
    const text = `Couldn't retrieve pinned program '${words.next()}': No such file or directory`
    throw new Exit(Status.USAGE, text)
  }
  throw new Exit(Status.USAGE, `What mode is "${mode}"?`)
}

/**
 * A virtual function, which no device here has: its settings are read, for the kernel to refuse. An exit status.
 * @throws Exit
 */
function parseFunction(command: Command, request: LinkRequest, words: Words): number {
  const number = parseSigned(words.next())
  if (number === undefined) throw wrong(words.word, 'Invalid "vf" value')
  if (request.device === undefined) throw new Exit(Status.USAGE, 'Error: argument "dev" is required')
  // Of several, only the last arrives.
  request.refused.delete('vf')
  request.refused.delete('vfNumber')
  request.refused.add(number < 0 || number === INT_MAX ? 'vfNumber' : 'vf')
  const before = words.left
  while (words.left > 1) {
    const status = parseFunctionWord(command, request, words)
    if (status === undefined) break
    if (status !== Status.OK) return status
  }
  if (words.left === before) throw incomplete()
  return Status.OK
}

const INT_MAX = 2 ** 31 - 1
/** Settings that are numbers, by what they are called if they are none. */
const FUNCTION_NUMBERS = [
  ['rate', 'rate'],
  ['max_tx_rate', 'max tx rate'],
  ['min_tx_rate', 'min tx rate'],
] as const
const FUNCTION_SWITCHES = ['spoofchk', 'query_rss', 'trust']
const GUID = /^[0-9a-f]{1,2}(:[0-9a-f]{1,2}){7}$/i

/** One setting; `undefined` if the word after the present one begins none. @throws Exit */
function parseFunctionWord(command: Command, { device }: LinkRequest, words: Words): number | undefined {
  const word = words.following
  const number = FUNCTION_NUMBERS.find(([name]) => abbreviates(word, name))
  const toggle = FUNCTION_SWITCHES.find((name) => abbreviates(word, name))
  if (abbreviates(word, 'mac')) {
    words.next()
    const bytes = parseLinkAddress(words.next(), LLADDR_MAX)
    if (typeof bytes === 'string') {
      command.output.complain(invalidLinkAddress(bytes))
      return Status.REFUSED
    }
    if (deviceNamed(command, device!)?.isLoopback && bytes.length !== LOOPBACK_LENGTH) {
      command.output.complain(`Invalid address length ${bytes.length} - must be ${LOOPBACK_LENGTH} bytes`)
      return Status.REFUSED
    }
  } else if (abbreviates(word, 'vlan')) parseFunctionVlan(words)
  else if (number !== undefined) {
    words.next()
    if (parseUnsigned(words.next()) === undefined) throw wrong(words.word, `Invalid "${number[1]}" value`)
  } else if (toggle !== undefined) {
    words.next()
    if (offOrOn(words.next()) === undefined) {
      refuseSwitch(command, toggle, words.word)
      return Status.REFUSED
    }
  } else if (abbreviates(word, 'state')) {
    words.next()
    if (!abbreviatesAny(words.next(), 'auto', 'enable', 'disable')) {
      throw wrong(words.word, 'Invalid "state" value')
    }
  } else if (abbreviatesAny(word, 'node_guid', 'port_guid')) {
    words.next()
    if (!GUID.test(words.next())) throw wrong(words.word, 'Invalid GUID format')
  } else return undefined
  return Status.OK
}

/** `vlan N [qos N] [proto 802.1Q]` @throws Exit */
function parseFunctionVlan(words: Words): void {
  words.next()
  if (parseUnsigned(words.next()) === undefined) throw wrong(words.word, 'Invalid "vlan" value')
  if (words.left > 1 && abbreviates(words.following, 'qos')) {
    words.next()
    if (parseUnsigned(words.next()) === undefined) throw wrong(words.word, 'Invalid "qos" value')
  }
  if (words.following !== 'proto') return
  words.next()
  if (!/^802\.1(q|ad)$/i.test(words.next())) throw wrong(words.word, 'protocol is invalid')
}

function parseQueues({ queues }: LinkRequest, words: Words, which: 'tx' | 'rx'): void {
  const name = `num${which}queues`
  words.next()
  if (queues[which]) throw duplicate(name, words.word)
  const count = parseUnsigned(words.word)
  if (count === undefined) throw wrong(words.word, `Invalid "${name}" value`)
  queues[which] = true
}

/** A number; -1 counts as none having been given. */
function integer(words: Words, before: number | undefined, name: string): number {
  words.next()
  if (before !== undefined && before !== -1) throw duplicate(name, words.word)
  const number = parseSigned(words.word)
  if (number === undefined) throw wrong(words.word, `Invalid "${name}" value`)
  return number
}

function parseSwitch(
  command: Command,
  request: LinkRequest,
  words: Words,
  { flag, inverted }: { flag: number; inverted: boolean },
  name = words.word,
): number {
  const on = onOff(command, name, words.next())
  if (on === undefined) return Status.REFUSED
  request.flagMask |= flag
  request.flags = on !== inverted ? request.flags | flag : request.flags & ~flag
  return Status.OK
}

/** The words that some newer settings take, which may be cut short. */
function offOrOn(word: string): boolean | undefined {
  if (abbreviates(word, 'off')) return false
  return abbreviates(word, 'on') ? true : undefined
}

function refuseSwitch({ output }: Command, name: string, word: string): number {
  output.complain(`Error: argument of "${name}" must be one of "off", "on", not "${word}"`)
  return Errno.EINVAL
}

function onOff({ output }: Command, name: string, word: string): boolean | undefined {
  if (word === 'on') return true
  if (word === 'off') return false
  output.complain(`Error: argument of "${name}" must be "on" or "off", not "${word}"`)
  return undefined
}
