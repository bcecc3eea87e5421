/** `ip address show` and `ip address flush`: which devices and addresses are meant, printed or removed. */
import { ipv4Mask } from '../address/ipv4-address.ts'
import type { NetDevice } from '../device/net-device.ts'
import { AddressFlag, type InetAddress } from '../route/inet-address.ts'
import { printAddress, printAddressBrief } from './address-printer.ts'
import { type Command, deviceNamed } from './command.ts'
import { Family, type InetPrefix, matchesGlob, parsePrefix } from './grammar.ts'
import { printLink, printLinkBrief, printLinkBriefFlags, printLinkStatistics } from './link-printer.ts'
import { groups, scopes } from './names.ts'
import { Exit, Status } from './outcome.ts'
import { Printer } from './printer.ts'
import { flushReport } from './route-list.ts'
import { usage } from './usage.ts'
import { abbreviates, garbage, type Words, wrong } from './words.ts'

/** What `ip address show`, `ip address flush` and `ip link show` ask for. */
export interface LinkFilter {
  family: number
  device: NetDevice | undefined
  /** As it was written. */
  deviceName: string
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
  autojoin: AddressFlag.AUTOJOIN,
  'stable-privacy': 0x800,
}

/** `undefined` after a complaint. @throws Exit */
export function parseLinkFilter(command: Command, words: Words, family: number): LinkFilter | undefined {
  const filter: LinkFilter = {
    family,
    device: undefined,
    deviceName: '',
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
      if (deviceNamed(command, words.next()) === undefined) {
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
    filter.device = deviceNamed(command, device)
    filter.deviceName = device
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

/** Kinds that the kernel knows, so that it can leave others out itself when it is asked for all links. */
const KNOWN_KINDS = ['tun']

/** The kernel knows loopback as no kind at all, and a device of IP packets as a TUN. */
function hasKind({ link }: NetDevice, kind: string): boolean {
  return kind === 'tun' && link.type === 'none'
}

/** The device is among those that the kernel tells of. */
function isMeant({ enslaved, device: only, kind, family }: LinkFilter, device: NetDevice): boolean {
  if (only !== undefined) return only === device
  if (enslaved && family !== Family.INET) return false
  if (kind === undefined || !KNOWN_KINDS.includes(kind) || family === Family.INET) return true
  return hasKind(device, kind)
}

/** Of those, iproute2 leaves others out: in JSON an empty object remains of them. */
function isShown({ up, group, kind, enslaved }: LinkFilter, device: NetDevice): boolean {
  if (enslaved) return false
  if (up && !device.up) return false
  if (group !== undefined && group !== device.group) return false
  return kind === undefined || hasKind(device, kind)
}

function addressPasses(filter: LinkFilter, address: InetAddress): boolean {
  const { prefix } = filter
  if (filter.family !== Family.UNSPEC && filter.family !== Family.INET) return false
  if (filter.scope !== undefined && filter.scope !== address.scope) return false
  if (((filter.flags ^ address.flags) & filter.flagMask) !== 0) return false
  // Of an address without a label the device's name counts.
  const label = address.label || address.device.name
  if (filter.label !== undefined && !matchesGlob(filter.label, label)) return false
  return prefix === undefined || ((address.local ^ prefix.address) & ipv4Mask(prefix.length)) === 0
}

/** For a link the kernel is asked by name, and knows only whole ones. @throws Exit */
function askByName({ stack, output }: Command, filter: LinkFilter, printer: Printer): void {
  const { device, deviceName, group } = filter
  if (device === undefined || group !== undefined || stack.devices.byName(deviceName) !== undefined) return
  output.complain('RTNETLINK answers: No such device')
  output.complain('Cannot send link get request: No such device')
  printer.end()
  output.write(printer.take())
  throw new Exit(1, '')
}

export function showLinks(command: Command, words: Words): number {
  const { stack, options } = command
  options.linkShown = true
  const filter = parseLinkFilter(command, words, Family.PACKET)
  if (filter === undefined) return Status.REFUSED
  const printer = new Printer(options)
  printer.begin()
  askByName(command, filter, printer)
  for (const device of stack.devices) {
    if (!isMeant(filter, device)) continue
    printer.openObject()
    // A label is one of an address, which no link has.
    if (isShown(filter, device) && filter.label === undefined) {
      if (options.brief) printLinkBriefFlags(printer, device)
      else {
        printLink(printer, command, device, { mode: true, link: true })
        printer.text('\n')
      }
    }
    printer.closeObject()
  }
  printer.end()
  writeLinks(command, filter, printer)
  return Status.OK
}

/** Of a single link that is left out nothing is said, and nothing that was held back goes out. */
function writeLinks({ output }: Command, { device, group }: LinkFilter, printer: Printer): void {
  const text = printer.take()
  if (device !== undefined && group === undefined) output.writeSome(text)
  else output.write(text)
}

export function showAddresses(command: Command, words: Words): number {
  const { stack, options, output } = command
  const filter = parseLinkFilter(command, words, options.family)
  if (filter === undefined) return Status.REFUSED
  const { addresses } = stack.routing
  const printer = new Printer(options)
  printer.begin()
  if (options.linkShown) askByName(command, filter, printer)
  for (const device of stack.devices) {
    if (!isMeant(filter, device)) continue
    const all = addresses.of(device)
    const some = all.some((address) => addressPasses(filter, address))
    // A device without any address is shown unless a family was asked for, whatever else was.
    const bare = filter.family === Family.PACKET || (all.length === 0 && filter.family === Family.UNSPEC)
    const asLink = filter.device !== undefined && options.linkShown && filter.group === undefined
    if (!some && !bare && !asLink) continue
    // Without a line for the device, only `up` counts of what was said of it.
    const headed = (options.brief || !options.oneline || asLink) && filter.label === undefined
    const silent = filter.up && !device.up
    printer.openObject()
    if (!headed || isShown(filter, device)) {
      printDevice(printer, command, filter, device, headed, asLink ? undefined : silent ? [] : all)
    }
    printer.closeObject()
  }
  printer.end()
  if (options.linkShown) writeLinks(command, filter, printer)
  else output.write(printer.take())
  return Status.OK
}

/** @param addresses `undefined`: the question was taken for one about links */
function printDevice(
  printer: Printer,
  command: Command,
  filter: LinkFilter,
  device: NetDevice,
  headed: boolean,
  addresses: readonly InetAddress[] | undefined,
): void {
  const { stack, options } = command
  if (headed && options.brief) printLinkBrief(printer, device)
  else if (headed) {
    printLink(printer, command, device, { mode: options.linkShown, link: linkLine(command, filter) })
    printer.text('\n')
  }
  if (addresses === undefined) return
  if (filter.family !== Family.PACKET) {
    const now = stack.clock.now()
    printer.openArray('addr_info')
    for (const address of addresses) {
      if (!addressPasses(filter, address)) {
        // In JSON an empty object remains of it.
        printer.openObject()
        printer.closeObject()
      } else if (options.brief) printAddressBrief(printer, address)
      else printAddress(printer, command, address, now)
    }
    printer.closeArray()
  }
  if (options.brief) printer.text('\n')
  else if (headed && options.statistics > 0 && !options.linkShown) {
    printLinkStatistics(printer, command, device)
    printer.text('\n')
  }
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
  const printer = new Printer({ ...options, json: false })
  const now = stack.clock.now()
  for (const address of doomed) {
    if (options.statistics < 2) break
    if (options.brief) printAddressBrief(printer, address)
    else printAddress(printer, command, address, now, true)
  }
  for (const address of doomed) {
    addresses.remove(address)
    stack.routing.groups.autoleave(address.device, address.address)
  }
  stack.addressesChanged()
  if (options.statistics > 0) printer.text(flushReport(doomed.length, 'addresses'))
  output.write(printer.take())
  return Status.OK
}
