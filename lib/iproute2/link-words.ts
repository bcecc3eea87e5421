/** The words of `ip link set` and its kin, in the order in which iproute2 compares them. */
import { LinkFlag } from '../device/link-device.ts'
import type { Command } from './command.ts'
import { isDeviceName, parseSigned } from './grammar.ts'
import { groups } from './names.ts'
import { usage } from './usage.ts'
import { abbreviates, duplicate, garbage, type Words, wrong } from './words.ts'

export interface LinkRequest {
  device: string | undefined
  name: string | undefined
  /** A number for a device that is made. */
  index: boolean
  up: boolean | undefined
  mtu: number | undefined
  queueLength: number | undefined
  group: number | undefined
  alias: string | undefined
  /** Bytes in hexadecimal, as they were written. */
  address: string | undefined
  broadcast: string | undefined
  /** `LinkFlag` bits that are wanted, of those in `flagMask`. */
  flags: number
  flagMask: number
  /** What no device here does; the kernel's answer to it. */
  carrier: boolean
  protodown: boolean
  netns: boolean
  master: boolean
  type: string | undefined
}

/** `on` sets the flag, or with `inverted` clears it. */
const SWITCHES: Readonly<Record<string, { flag: number; inverted: boolean }>> = {
  multicast: { flag: LinkFlag.MULTICAST, inverted: false },
  allmulticast: { flag: LinkFlag.ALLMULTI, inverted: false },
  promisc: { flag: LinkFlag.PROMISC, inverted: false },
  trailers: { flag: LinkFlag.NOTRAILERS, inverted: true },
  arp: { flag: LinkFlag.NOARP, inverted: true },
  dynamic: { flag: LinkFlag.DYNAMIC, inverted: false },
}

/** `undefined` after a complaint. @throws Exit */
export function parseLinkRequest(command: Command, words: Words): LinkRequest | undefined {
  const request: LinkRequest = {
    device: undefined,
    name: undefined,
    index: false,
    up: undefined,
    mtu: undefined,
    queueLength: undefined,
    group: undefined,
    alias: undefined,
    address: undefined,
    broadcast: undefined,
    flags: 0,
    flagMask: 0,
    carrier: false,
    protodown: false,
    netns: false,
    master: false,
    type: undefined,
  }
  for (; !words.done; words.skip()) {
    if (!parseWord(command, request, words)) return undefined
    // What follows the type of a device is that type's business.
    if (request.type !== undefined) break
  }
  return request
}

function parseWord(command: Command, request: LinkRequest, words: Words): boolean {
  const { word } = words
  if (word === 'up') request.up = true
  else if (word === 'down') request.up = false
  else if (word === 'name') {
    if (request.name !== undefined) throw duplicate('name', words.next())
    request.name = deviceName(words.next(), 'name')
    request.device ??= request.name
  } else if (word === 'index') {
    words.next()
    if (request.index) throw duplicate('index', words.word)
    const index = parseSigned(words.word)
    if (index === undefined || index <= 0) throw wrong(words.word, 'Invalid "index" value')
    request.index = true
  } else if (abbreviates(word, 'address')) request.address = words.next()
  else if (abbreviates(word, 'broadcast') || word === 'brd') request.broadcast = words.next()
  else if (abbreviates(word, 'txqueuelen') || word === 'qlen' || abbreviates(word, 'txqlen')) {
    request.queueLength = integer(words, request.queueLength, 'txqueuelen')
  } else if (word === 'mtu') request.mtu = integer(words, request.mtu, 'mtu')
  else if (word === 'netns') {
    if (parseSigned(words.next()) === undefined) throw wrong(words.word, 'Invalid "netns" value')
    request.netns = true
  } else if (Object.hasOwn(SWITCHES, word)) {
    const { flag, inverted } = SWITCHES[word]!
    const on = onOff(command, word, words.next())
    if (on === undefined) return false
    request.flagMask |= flag
    request.flags = on !== inverted ? request.flags | flag : request.flags & ~flag
  } else if (word === 'carrier' || word === 'protodown') {
    if (onOff(command, word, words.next()) === undefined) return false
    request[word] = true
  } else return parseRest(command, request, words)
  return true
}

function parseRest(command: Command, request: LinkRequest, words: Words): boolean {
  const { word } = words
  if (word === 'master') {
    if (command.stack.devices.byName(words.next()) === undefined) {
      throw wrong(words.word, 'Device does not exist')
    }
    request.master = true
  } else if (word === 'vrf') throw wrong(words.next(), 'Not a valid VRF name')
  else if (word === 'nomaster') return true
  else if (abbreviates(word, 'type')) request.type = words.next()
  else if (abbreviates(word, 'alias')) {
    if (words.next().length >= 256) throw wrong(words.word, 'alias too long')
    request.alias = words.word
  } else if (word === 'group') {
    words.next()
    if (request.group !== undefined) throw duplicate('group', words.word)
    request.group = groups.parse(words.word)
    if (request.group === undefined) throw wrong(words.word, 'Invalid "group" value')
  } else {
    if (abbreviates(word, 'help')) throw usage('link')
    words.skipKeyword('dev')
    if (request.device !== request.name) throw garbage('dev', words.word)
    request.device = deviceName(words.word, 'dev')
  }
  return true
}

function deviceName(word: string, what: string): string {
  if (!isDeviceName(word)) throw wrong(word, `"${what}" not a valid ifname`, false)
  return word
}

/** A number; -1 counts as none having been given. */
function integer(words: Words, before: number | undefined, name: string): number {
  words.next()
  if (before !== undefined && before !== -1) throw duplicate(name, words.word)
  const number = parseSigned(words.word)
  if (number === undefined) throw wrong(words.word, `Invalid "${name}" value`)
  return number
}

function onOff({ output }: Command, name: string, word: string): boolean | undefined {
  if (word === 'on') return true
  if (word === 'off') return false
  output.complain(`Error: argument of "${name}" must be "on" or "off", not "${word}"`)
  return undefined
}
