/** `ip link`: shows devices, brings them up and down, and sets their MTU. */

import type { NetDevice } from '../device/net-device.ts'
import { Errno } from '../errors.ts'
import { NetlinkError } from '../route/rtnetlink.ts'
import { linkPasses, parseLinkFilter } from './address-list.ts'
import { type Command, findDevice, usage } from './command.ts'
import { Family, isDeviceName, parseSigned } from './grammar.ts'
import { formatLink, formatLinkBriefFlags } from './link-printer.ts'
import { groups } from './names.ts'
import { Exit, Status, talk } from './outcome.ts'
import {
  abbreviates,
  abbreviatesAny,
  duplicate,
  garbage,
  unknownCommand,
  type Words,
  wrong,
} from './words.ts'

export function link(command: Command, words: Words): number {
  if (words.done) return showLinks(command, words)
  const { word } = words
  words.skip()
  // Between `set` and `show` stand verbs that make and remove devices: a stack's devices come from its program.
  if (abbreviates(word, 'set')) return setLink(command, words)
  if (abbreviatesAny(word, 'show', 'lst', 'list')) return showLinks(command, words)
  if (abbreviates(word, 'help')) throw usage('link')
  throw unknownCommand(word, 'link help')
}

function showLinks(command: Command, words: Words): number {
  const { stack, options, output } = command
  options.linkShown = true
  const filter = parseLinkFilter(command, words, Family.PACKET)
  if (filter === undefined) return Status.REFUSED
  for (const device of stack.devices) {
    if (!linkPasses(filter, device)) continue
    output.write(
      options.brief ? formatLinkBriefFlags(device) : formatLink(command, device, { mode: true, link: true }),
    )
  }
  return Status.OK
}

interface Request {
  device: string | undefined
  up: boolean | undefined
  mtu: number | undefined
  group: number | undefined
}

function setLink(command: Command, words: Words): number {
  const request: Request = { device: undefined, up: undefined, mtu: undefined, group: undefined }
  for (; !words.done; words.skip()) parseWord(request, words)
  if (request.device === undefined) {
    throw new Exit(Status.USAGE, 'Not enough information: "dev" argument is required.')
  }
  const device = findDevice(command, request.device)
  if (device === undefined) return Status.REFUSED
  return talk(command.output, () => apply(command, device, request))
}

/** @throws Exit */
function parseWord(request: Request, words: Words): void {
  const { word } = words
  if (word === 'up') request.up = true
  else if (word === 'down') request.up = false
  else if (word === 'mtu') {
    words.next()
    if (request.mtu !== undefined && request.mtu !== -1) throw duplicate('mtu', words.word)
    request.mtu = parseSigned(words.word)
    if (request.mtu === undefined) throw wrong(words.word, 'Invalid "mtu" value')
  } else if (word === 'group') {
    words.next()
    if (request.group !== undefined) throw duplicate('group', words.word)
    request.group = groups.parse(words.word)
    if (request.group === undefined) throw wrong(words.word, 'Invalid "group" value')
  } else {
    if (abbreviates(word, 'help')) throw usage('link')
    words.skipKeyword('dev')
    if (request.device !== undefined) throw garbage('dev', words.word)
    if (!isDeviceName(words.word)) throw wrong(words.word, '"dev" not a valid ifname', false)
    request.device = words.word
  }
}

/** @throws NetlinkError */
function apply({ stack }: Command, device: NetDevice, { mtu, up, group }: Request): void {
  const { minMtu, maxMtu } = device.link
  if (mtu !== undefined && mtu !== device.mtu) {
    if (mtu < 0 || mtu < minMtu) throw new NetlinkError(Errno.EINVAL, 'mtu less than device minimum', 'link')
    if (mtu > maxMtu) throw new NetlinkError(Errno.EINVAL, 'mtu greater than device maximum', 'link')
    device.link.setMtu(mtu)
  }
  if (group !== undefined) device.group = group
  if (up !== undefined) stack.setDeviceUp(device, up)
}
