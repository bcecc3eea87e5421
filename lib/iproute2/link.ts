/** `ip link`: shows devices, sets what can be set of them, removes them. What it would add, a stack has none of. */
import type { NetDevice } from '../device/net-device.ts'
import { Errno } from '../errors.ts'
import { NetlinkError } from '../route/rtnetlink.ts'
import { showLinks } from './address-list.ts'
import { type Command, findDevice } from './command.ts'
import { applyLink } from './link-change.ts'
import { parseLinkRequest } from './link-words.ts'
import { Exit, Status, talk } from './outcome.ts'
import { usage } from './usage.ts'
import { abbreviates, abbreviatesAny, unknownCommand, type Words } from './words.ts'

export function link(command: Command, words: Words): number {
  if (words.done) return showLinks(command, words)
  const { word } = words
  words.skip()
  if (abbreviates(word, 'add')) return addLink(command, words)
  if (abbreviatesAny(word, 'set', 'change')) return setLink(command, words)
  if (abbreviates(word, 'replace')) return addLink(command, words)
  if (abbreviates(word, 'delete')) return deleteLink(command, words)
  if (abbreviatesAny(word, 'show', 'lst', 'list')) return showLinks(command, words)
  if (abbreviates(word, 'property')) return refuseProperty(command, words)
  if (abbreviates(word, 'help')) throw usage('link')
  throw unknownCommand(word, 'link help')
}

function setLink(command: Command, words: Words): number {
  const request = parseLinkRequest(command, words)
  if (request === undefined) return Status.REFUSED
  const { stack, output } = command
  if (request.device === undefined) {
    const { group } = request
    if (group === undefined) throw deviceMissing()
    const members = [...stack.devices].filter((device) => device.group === group)
    return talk(output, () => {
      for (const device of members) applyLink(stack, device, { ...request, group: undefined })
    })
  }
  const device = findDevice(command, request.device)
  if (device === undefined) return Status.REFUSED
  if (request.index) {
    const text = 'index can be used only when creating devices or when moving device to another netns.'
    throw new Exit(Status.USAGE, text)
  }
  return talk(output, () => applyLink(stack, device, request))
}

function deleteLink(command: Command, words: Words): number {
  const request = parseLinkRequest(command, words)
  if (request === undefined) return Status.REFUSED
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
function addLink(command: Command, words: Words): number {
  const request = parseLinkRequest(command, words)
  if (request === undefined) return Status.REFUSED
  const { output } = command
  const { type } = request
  if (type === undefined) {
    output.complain('Not enough information: "type" argument is required')
    return Status.REFUSED
  }
  return talk(output, () => {
    const tun = type === 'tun' || type === 'tap'
    const extack = tun ? 'tun/tap creation via rtnetlink is not supported' : 'Unknown device type'
    throw new NetlinkError(Errno.EOPNOTSUPP, extack, 'link')
  })
}

function refuseProperty({ output }: Command, words: Words): number {
  if (words.done) throw usage('link')
  if (!abbreviatesAny(words.word, 'add', 'del', 'help')) throw new Exit(Status.USAGE, 'Operator required')
  return talk(output, () => {
    throw new NetlinkError(Errno.EOPNOTSUPP, undefined, 'link')
  })
}

function deviceMissing(): Exit {
  return new Exit(Status.USAGE, 'Not enough information: "dev" argument is required.')
}
