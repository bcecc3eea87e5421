/** `ip maddress`: which multicast groups each device listens to. Only programs join and leave. */
import { formatIpv4 } from '../address/ipv4-address.ts'
import type { Command } from './command.ts'
import { Family } from './grammar.ts'
import { carriesInet6 } from './link-printer.ts'
import { Exit, Status } from './outcome.ts'
import { Printer } from './printer.ts'
import { usage } from './usage.ts'
import { abbreviates, abbreviatesAny, garbage, unknownCommand, type Words } from './words.ts'

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
    const groups6 = family === Family.UNSPEC && carriesInet6(device) ? GROUPS6 : []
    if (groups.length === 0 && groups6.length === 0) continue
    printer.openObject()
    const heading = `${device.ifindex}:\t${device.name}`
    printer.member('ifindex', device.ifindex)
    printer.member('ifname', device.name)
    if (!options.oneline) printer.text(`${heading}\n`)
    printer.openArray('maddr')
    const print = (name: string, group: string): void => {
      printer.openObject()
      printer.text(options.oneline ? `${heading}\\` : '')
      printer.field('family', name, `\t${name.padEnd(5)} `)
      printer.field('address', group, `${group}\n`)
      printer.closeObject()
    }
    for (const group of groups) print('inet', group)
    for (const group of groups6) print('inet6', group)
    printer.closeArray()
    printer.closeObject()
  }
  printer.end()
  output.hold(printer.take())
  return Status.OK
}

/** Addresses of the link layer, which no device here has. */
function modifyGroup({ output }: Command, words: Words): number {
  let device: string | undefined
  let address: string | undefined
  for (; !words.done; words.skip()) {
    if (words.word === 'dev') {
      words.next()
      if (device !== undefined) throw garbage('dev', words.word)
      device = words.word
      continue
    }
    if (abbreviates(words.word, 'address')) words.next()
    if (abbreviates(words.word, 'help')) throw usage('maddress')
    if (address !== undefined) throw garbage('address', words.word)
    address = words.word
    const bytes = address.includes(':') ? address.split(':').length : 4
    if (bytes !== 6) {
      output.complain(`Error: Invalid address length ${bytes} - must be 6 bytes`)
      return Status.REFUSED
    }
  }
  if (device === undefined) throw new Exit(Status.USAGE, 'Not enough information: "dev" is required.')
  output.complain('ioctl: Invalid argument')
  return Status.REFUSED
}
