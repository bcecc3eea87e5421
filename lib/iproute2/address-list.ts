/** `ip address show` and `ip address flush`: which devices and addresses are meant, printed or removed. */
import { ipv4Mask } from '../address/ipv4-address.ts'
import type { NetDevice } from '../device/net-device.ts'
import { AddressFlag, type InetAddress } from '../route/inet-address.ts'
import { formatAddress, formatAddressBrief } from './address-printer.ts'
import { type Command, usage } from './command.ts'
import { Family, type InetPrefix, matchesGlob, parsePrefix } from './grammar.ts'
import { formatLink, formatLinkBrief, formatLinkStatistics } from './link-printer.ts'
import { groups, scopes } from './names.ts'
import { Status } from './outcome.ts'
import { flushReport } from './route-list.ts'
import { abbreviates, garbage, type Words, wrong } from './words.ts'

/** What `ip address show`, `ip address flush` and `ip link show` ask for. */
export interface LinkFilter {
  family: number
  device: NetDevice | undefined
  up: boolean
  group: number | undefined
  /** `type`: the kind of device, as a driver names it. */
  kind: string | undefined
  prefix: InetPrefix | undefined
  scope: number | undefined
  label: string | undefined
  flags: number
  flagMask: number
  /** It asked for a master, which no device here has. */
  enslaved: boolean
}

const FLAGS: Readonly<Record<string, number>> = {
  secondary: AddressFlag.SECONDARY,
  temporary: AddressFlag.SECONDARY,
  nodad: 0x02,
  optimistic: 0x04,
  dadfailed: 0x08,
  home: 0x10,
  deprecated: AddressFlag.DEPRECATED,
  tentative: 0x40,
  permanent: AddressFlag.PERMANENT,
  mngtmpaddr: 0x100,
  noprefixroute: AddressFlag.NOPREFIXROUTE,
  autojoin: 0x400,
  'stable-privacy': 0x800,
}

/** `undefined` after a complaint. @throws Exit */
export function parseLinkFilter(command: Command, words: Words, family: number): LinkFilter | undefined {
  const filter: LinkFilter = {
    family,
    device: undefined,
    up: false,
    group: undefined,
    kind: undefined,
    prefix: undefined,
    scope: undefined,
    label: undefined,
    flags: 0,
    flagMask: 0,
    enslaved: false,
  }
  let device: string | undefined
  for (; !words.done; words.skip()) {
    const { word } = words
    if (word === 'to') {
      filter.prefix = parsePrefix(words.next(), filter.family)
      filter.family ||= filter.prefix.family
    } else if (word === 'scope') {
      const scope = scopes.parse(words.next())
      if (scope === undefined && words.word !== 'all') throw wrong(words.word, 'invalid "scope"')
      filter.scope = scope
    } else if (word === 'up') filter.up = true
    else if (parseFlag(filter, word)) continue
    else if (word === 'label') filter.label = words.next()
    else if (word === 'group') {
      filter.group = groups.parse(words.next())
      if (filter.group === undefined) throw wrong(words.word, 'Invalid "group" value')
    } else if (word === 'master') {
      if (command.stack.devices.byName(words.next()) === undefined) {
        throw wrong(words.word, 'Device does not exist')
      }
      filter.enslaved = true
    } else if (word === 'vrf') throw wrong(words.next(), 'Not a valid VRF name')
    else if (word === 'nomaster') filter.enslaved = false
    else if (word === 'type') filter.kind = words.next()
    else {
      if (word === 'dev') words.next()
      else if (abbreviates(word, 'help')) throw usage('address')
      if (device !== undefined) throw garbage('dev', words.word)
      device = words.word
    }
  }
  if (device !== undefined) {
    filter.device = command.stack.devices.byName(device)
    if (filter.device === undefined) {
      command.output.complain(`Device "${device}" does not exist.`)
      return undefined
    }
  }
  return filter
}

function parseFlag(filter: LinkFilter, word: string): boolean {
  let clear = word.startsWith('-')
  let name = clear ? word.slice(1) : word
  if (name === 'dynamic' || name === 'primary') {
    clear = !clear
    name = name === 'dynamic' ? 'permanent' : 'secondary'
  }
  const flag = Object.hasOwn(FLAGS, name) ? FLAGS[name]! : 0
  if (flag === 0) return false
  filter.flagMask |= flag
  filter.flags = clear ? filter.flags & ~flag : filter.flags | flag
  return true
}

/** The device fits what was said of devices. */
export function linkPasses(filter: LinkFilter, device: NetDevice): boolean {
  if (filter.enslaved) return false
  if (filter.device !== undefined && filter.device !== device) return false
  if (filter.up && !device.up) return false
  if (filter.group !== undefined && filter.group !== device.group) return false
  // The kernel knows loopback as no kind at all, and a device of IP packets as a TUN.
  return filter.kind === undefined || (filter.kind === 'tun' && device.link.type === 'none')
}

function addressPasses(filter: LinkFilter, address: InetAddress): boolean {
  const { prefix } = filter
  if (filter.family !== Family.UNSPEC && filter.family !== Family.INET) return false
  if (filter.scope !== undefined && filter.scope !== address.scope) return false
  if (((filter.flags ^ address.flags) & filter.flagMask) !== 0) return false
  if (filter.label !== undefined && !matchesGlob(filter.label, address.label)) return false
  return prefix === undefined || ((address.local ^ prefix.address) & ipv4Mask(prefix.length)) === 0
}

export function showAddresses(command: Command, words: Words): number {
  const { stack, options, output } = command
  const filter = parseLinkFilter(command, words, options.family)
  if (filter === undefined) return Status.REFUSED
  const { addresses } = stack.routing
  for (const device of stack.devices) {
    if (!linkPasses(filter, device)) continue
    if (filter.device !== undefined && options.linkShown && filter.group === undefined) {
      if (filter.label === undefined)
        output.write(formatLink(command, device, { mode: true, link: linkLine(command, filter) }))
      return Status.OK
    }
    const all = addresses.of(device)
    const chosen = all.filter((address) => addressPasses(filter, address))
    // A device without any address is shown unless a family was asked for, whatever else was.
    const bare = filter.family === Family.PACKET || (all.length === 0 && filter.family === Family.UNSPEC)
    if (chosen.length === 0 && !bare) continue
    const now = stack.clock.now()
    if (options.brief) {
      output.write(formatLinkBrief(device))
      for (const address of chosen) output.write(formatAddressBrief(address))
      output.write('\n')
      continue
    }
    const headed = !options.oneline && filter.label === undefined
    if (headed) {
      output.write(formatLink(command, device, { mode: options.linkShown, link: linkLine(command, filter) }))
    }
    for (const address of chosen) output.write(formatAddress(command, address, now))
    if (headed && options.statistics > 0) output.write(`${formatLinkStatistics(command, device)}\n`)
  }
  return Status.OK
}

/** The line of the link layer goes where one family was asked for. */
function linkLine({ options }: Command, { family }: LinkFilter): boolean {
  return family === Family.UNSPEC || family === Family.PACKET || options.details
}

export function flushAddresses(command: Command, words: Words): number {
  const { stack, options, output } = command
  if (words.done) {
    output.complain('Flush requires arguments.')
    return Status.REFUSED
  }
  if (options.family === Family.PACKET) {
    output.complain('Cannot flush link addresses.')
    return Status.REFUSED
  }
  const filter = parseLinkFilter(command, words, options.family)
  if (filter === undefined) return Status.REFUSED
  const { addresses } = stack.routing
  // Only the device counts of what can be said of devices.
  const doomed = [...addresses].filter(
    (address) =>
      (filter.device === undefined || filter.device === address.device) && addressPasses(filter, address),
  )
  for (const address of doomed) addresses.remove(address)
  stack.addressesChanged()
  if (options.statistics > 0) output.write(flushReport(doomed.length, 'addresses'))
  return Status.OK
}
