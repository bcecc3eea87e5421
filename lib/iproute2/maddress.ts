/** `ip maddress`: which multicast groups each device listens to. Only programs join and leave. */
import { formatIpv4 } from '../address/ipv4-address.ts'
import type { NetDevice } from '../device/net-device.ts'
import type { Command } from './command.ts'
import { Family, invalidLinkAddress, isDeviceName, parseLinkAddress } from './grammar.ts'
import { Exit, Status } from './outcome.ts'
import { Printer } from './printer.ts'
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

/** Every device is in them for as long as it could carry IPv6, which is off. */
const GROUPS6 = ['ff02::1', 'ff01::1']

export function maddress(command: Command, words: Words): number {
  if (words.done) return showGroups(command, words)
  const { word } = words
  words.skip()
  if (abbreviates(word, 'add') || abbreviates(word, 'delete')) return modifyGroup(command, words)
  if (abbreviatesAny(word, 'show', 'lst', 'list')) return showGroups(command, words)
  if (abbreviates(word, 'help')) throw usage('maddress')
  throw unknownCommand(word, 'maddr help')
}

function showGroups(command: Command, words: Words): number {
  const { stack, options, output } = command
  for (; !words.done; words.skip()) {
    const given = words.word === 'dev'
    if (given) words.next()
    if (!given && abbreviates(words.word, 'help')) throw usage('maddress')
    if (options.maddressDevice !== undefined) throw garbage('dev', words.word)
    options.maddressDevice = words.word
  }
  const only = options.maddressDevice
  const printer = new Printer(options)
  printer.begin()
  for (const device of stack.devices) {
    if (only !== undefined && only !== device.name) continue
    const { family } = options
    const foreign = family !== Family.UNSPEC && family !== Family.INET
    const groups = foreign ? [] : stack.routing.groups.of(device).map(formatIpv4)
    const groups6 = family === Family.UNSPEC && device.carriesInet6 ? GROUPS6 : []
    if (groups.length === 0 && groups6.length === 0) continue
    const all = [
      ...groups.map((group) => ['inet', group] as const),
      ...groups6.map((group) => ['inet6', group] as const),
    ]
    // On one line each, they are things apart.
    if (options.oneline) for (const group of all) printGroups(printer, device, [group], true)
    else printGroups(printer, device, all, false)
  }
  printer.end()
  if (options.json) output.write(printer.take())
  else output.hold(printer.take())
  return Status.OK
}

function printGroups(
  printer: Printer,
  { ifindex, name }: NetDevice,
  groups: readonly (readonly [family: string, group: string])[],
  oneline: boolean,
): void {
  const heading = `${ifindex}:\t${name}`
  printer.openObject()
  printer.member('ifindex', ifindex)
  printer.member('ifname', name)
  if (!oneline) printer.text(`${heading}\n`)
  printer.openArray('maddr')
  for (const [family, group] of groups) {
    printer.openObject()
    printer.text(oneline ? `${heading}\\` : '')
    printer.field('family', family, `\t${family.padEnd(5)} `)
    printer.field('address', group, `${group}\n`)
    printer.closeObject()
  }
  printer.closeArray()
  printer.closeObject()
}

/** Addresses of the link layer, which no device here has. */
function modifyGroup({ stack }: Command, words: Words): number {
  let device: string | undefined
  let address = 0
  for (; !words.done; words.skip()) {
    if (words.word === 'dev') {
      words.next()
      if (device !== undefined) throw duplicate('dev', words.word)
      if (!isDeviceName(words.word)) throw wrong(words.word, '"dev" not a valid ifname', false)
      device = words.word
      continue
    }
    if (abbreviates(words.word, 'address')) words.next()
    if (abbreviates(words.word, 'help')) throw usage('maddress')
    // An address that begins with a zero is forgotten.
    if (address !== 0) throw duplicate('address', words.word)
    const bytes = parseLinkAddress(words.word, 15)
    if (typeof bytes === 'string') throw new Exit(1, invalidLinkAddress(bytes))
    if (bytes.length !== 6) {
      throw new Exit(1, `Error: Invalid address length ${bytes.length} - must be 6 bytes`)
    }
    address = bytes[0]!
  }
  if (device === undefined) throw new Exit(Status.USAGE, 'Not enough information: "dev" is required.')
  const name = device.replace(/:.*/s, '')
  throw new Exit(
    1,
    `ioctl: ${stack.devices.byName(name) === undefined ? 'No such device' : 'Invalid argument'}`,
  )
}
