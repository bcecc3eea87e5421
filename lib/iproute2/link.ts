/** `ip link`: shows devices, sets what can be set of them, removes them. What it would add, a stack has none of. */
import type { NetDevice } from '../device/net-device.ts'
import { Errno } from '../errors.ts'
import { NetlinkError } from '../route/rtnetlink.ts'
import { showLinks } from './address-list.ts'
import { type Command, deviceNamed, findDevice } from './command.ts'
import { isAltName } from './grammar.ts'
import { applyLink, checkPolicy } from './link-change.ts'
import { checkKindWords, helpWithKind, misplacedWords } from './link-kinds.ts'
import { parseLinkRequest } from './link-words.ts'
import { Exit, Status, talk } from './outcome.ts'
import { Printer } from './printer.ts'
import { usage } from './usage.ts'
import { abbreviates, abbreviatesAny, garbage, unknownCommand, type Words, wrong } from './words.ts'

export function link(command: Command, words: Words): number {
  if (words.done) return showLinks(command, words)
  const { word } = words
  words.skip()
  if (abbreviates(word, 'add')) return addLink(command, words, false)
  if (abbreviatesAny(word, 'set', 'change')) return setLink(command, words)
  if (abbreviates(word, 'replace')) return addLink(command, words, true)
  if (abbreviates(word, 'delete')) return deleteLink(command, words)
  if (abbreviatesAny(word, 'show', 'lst', 'list')) return showLinks(command, words)
  if (abbreviates(word, 'xstats')) return extendedStatistics(command, words)
  if (abbreviates(word, 'afstats')) return familyStatistics(command, words)
  if (abbreviates(word, 'property')) return modifyProperty(command, words)
  if (abbreviates(word, 'help')) {
    if (words.done) throw usage('link')
    return helpWithKind(command, words.word)
  }
  throw unknownCommand(word, 'link help')
}

function setLink(command: Command, words: Words): number {
  const request = parseLinkRequest(command, words)
  if (typeof request === 'number') return request
  const { stack, output } = command
  const named = request.device === undefined ? undefined : deviceNamed(command, request.device)
  if (named?.isLoopback && request.address !== undefined && request.address.length !== 6) {
    output.complain(`Invalid address length ${request.address.length} - must be 6 bytes`)
    return Status.REFUSED
  }
  if (request.index) throw indexMisplaced()
  if (request.device === undefined && request.group === undefined) throw deviceMissing()
  if (request.device === undefined) {
    if (!words.done) throw new Exit(Status.USAGE, misplacedWords(words))
    const { group } = request
    const members = [...stack.devices].filter((device) => device.group === group)
    return talk(output, () => {
      checkPolicy(request)
      for (const device of members)
        applyLink(stack, device, { ...request, group: undefined, type: undefined })
    })
  }
  const device = findDevice(command, request.device)
  if (device === undefined) return Status.REFUSED
  const typed = checkKindWords(command, request, words, 'set')
  if (typed !== Status.OK) return typed
  return talk(output, () => applyLink(stack, device, request))
}

function deleteLink(command: Command, words: Words): number {
  const request = parseLinkRequest(command, words)
  if (typeof request === 'number') return request
  if (request.index) throw indexMisplaced()
  const { stack, output } = command
  const { group } = request
  let devices: NetDevice[]
  if (request.device !== undefined) {
    const device = findDevice(command, request.device)
    if (device === undefined) return Status.REFUSED
    devices = [device]
  } else if (group === undefined) throw deviceMissing()
  else devices = [...stack.devices].filter((device) => device.group === group)
  return talk(output, () => {
    if (devices.length === 0) throw new NetlinkError(Errno.ENODEV, undefined, 'link')
    if (request.device === undefined && group === 0) throw new NetlinkError(Errno.EPERM, undefined, 'link')
    if (devices.some((device) => device.isLoopback)) {
      throw new NetlinkError(Errno.EOPNOTSUPP, undefined, 'link')
    }
    for (const device of devices) {
      // Gone at once, but for the driver, which may take its time.
      stack.removeDevice(stack.interface(device.name)).catch(() => {})
    }
  })
}

/** No kind of device can be made by name: what a stack has, its program attached. */
function addLink(command: Command, words: Words, replacing: boolean): number {
  const request = parseLinkRequest(command, words)
  if (typeof request === 'number') return request
  const { stack, output } = command
  const { type, device, name } = request
  if (device !== name && device !== undefined && name !== undefined) {
    throw new Exit(Status.USAGE, 'both "name" and "dev" cannot be used when creating devices.')
  }
  if (request.link !== undefined && findDevice(command, request.link) === undefined) return Status.REFUSED
  if (type === undefined) {
    output.complain('Not enough information: "type" argument is required')
    return Status.REFUSED
  }
  const typed = checkKindWords(command, request, words, 'add')
  if (typed !== Status.OK) return typed
  const there = device === undefined ? undefined : stack.devices.byName(device)
  return talk(output, () => {
    if (device !== undefined && device.length > 15) {
      throw new NetlinkError(Errno.ERANGE, 'Attribute failed policy validation', 'link')
    }
    checkPolicy(request)
    if (type === 'tun') {
      throw new NetlinkError(Errno.EOPNOTSUPP, 'tun/tap creation via rtnetlink is not supported', 'link')
    }
    if (there !== undefined && !replacing) throw new NetlinkError(Errno.EEXIST, undefined, 'link')
    if (there !== undefined) throw new NetlinkError(Errno.EOPNOTSUPP, undefined, 'link')
    throw new NetlinkError(Errno.EOPNOTSUPP, 'Unknown device type', 'link')
  })
}

/** Other names of a device, which come and go one by one: what came before a refusal stays done. */
function modifyProperty(command: Command, words: Words): number {
  const { stack, output } = command
  if (words.done) throw usage('link')
  const verb = words.word
  if (abbreviates(verb, 'help')) throw usage('link')
  const adding = abbreviates(verb, 'add')
  if (!adding && !abbreviates(verb, 'del')) throw new Exit(Status.USAGE, 'Operator required')
  words.skip()
  const names: string[] = []
  let name: string | undefined
  for (; !words.done; words.skip()) {
    if (abbreviates(words.word, 'altname')) {
      names.push(words.next())
      if (!isAltName(words.word)) throw wrong(words.word, 'not a valid altname', false)
      continue
    }
    if (abbreviates(words.word, 'help')) throw usage('link')
    words.skipKeyword('dev')
    if (name !== undefined) throw garbage('dev', words.word)
    if (!isAltName(words.word)) throw wrong(words.word, '"dev" not a valid ifname', false)
    name = words.word
  }
  if (name === undefined) {
    throw new Exit(Status.USAGE, 'Not enough of information: "dev" argument is required.')
  }
  const device = findDevice(command, name)
  if (device === undefined) return Status.REFUSED
  return talk(output, () => {
    for (const each of names) {
      if (adding) {
        if (!stack.devices.addAltName(device, each)) throw new NetlinkError(Errno.EEXIST, undefined, 'link')
      } else if (!stack.devices.removeAltName(device, each)) {
        const errno = stack.devices.byName(each) === undefined ? Errno.ENOENT : Errno.EINVAL
        throw new NetlinkError(errno, undefined, 'link')
      }
    }
  })
}

/** Counters of some kinds of devices, none of which is here. */
function extendedStatistics({ output }: Command, words: Words): number {
  if (words.done) {
    output.complain('xstats: missing argument')
    return Status.REFUSED
  }
  if (abbreviates(words.word, 'help')) throw usage('link')
  if (!abbreviates(words.word, 'type')) throw wrong(words.word, 'unknown argument', false)
  words.next()
  if (!['bridge', 'bridge_slave', 'bond', 'bond_slave'].includes(words.word)) {
    throw wrong(words.word, 'invalid type', false)
  }
  output.write('')
  return Status.OK
}

/** Counters of families that no device here carries. */
function familyStatistics({ options, output }: Command, words: Words): number {
  for (; !words.done; words.skip()) {
    if (words.word !== 'dev') {
      if (abbreviates(words.word, 'help')) throw usage('link')
      output.complain(`Command "${words.word}" is unknown, try "ip link help".`)
      return Status.USAGE
    }
    // It looks for the device in a list that it has not read.
    output.complain(`Device "${words.next()}" does not exist.`)
  }
  const printer = new Printer(options)
  printer.begin()
  printer.end()
  output.writeSome(printer.take())
  return Status.OK
}

function deviceMissing(): Exit {
  return new Exit(Status.USAGE, 'Not enough information: "dev" argument is required.')
}

function indexMisplaced(): Exit {
  const text = 'index can be used only when creating devices or when moving device to another netns.'
  return new Exit(Status.USAGE, text)
}
