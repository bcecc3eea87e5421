/** `ip maddress`: which multicast groups each device listens to. Only programs join and leave. */
import { formatIpv4 } from '../address/ipv4-address.ts'
import type { Command } from './command.ts'
import { Family } from './grammar.ts'
import { Exit, Status } from './outcome.ts'
import { Printer } from './printer.ts'
import { usage } from './usage.ts'
import { abbreviates, abbreviatesAny, garbage, unknownCommand, type Words } from './words.ts'

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
  let only: string | undefined
  for (; !words.done; words.skip()) {
    const given = words.word === 'dev'
    if (given) words.next()
    if (!given && abbreviates(words.word, 'help')) throw usage('maddress')
    if (only !== undefined) throw garbage('dev', words.word)
    only = words.word
  }
  const printer = new Printer(options)
  printer.begin()
  for (const device of stack.devices) {
    if (only !== undefined && only !== device.name) continue
    const foreign = options.family !== Family.UNSPEC && options.family !== Family.INET
    const groups = foreign ? [] : stack.routing.groups.of(device)
    if (groups.length === 0) continue
    printer.openObject()
    const heading = `${device.ifindex}:\t${device.name}`
    printer.member('ifindex', device.ifindex)
    printer.member('ifname', device.name)
    if (!options.oneline) printer.text(`${heading}\n`)
    printer.openArray('maddr')
    for (const group of groups) {
      printer.openObject()
      printer.text(options.oneline ? `${heading}\\` : '')
      printer.field('family', 'inet', '\tinet  ')
      printer.field('address', formatIpv4(group), `${formatIpv4(group)}\n`)
      printer.closeObject()
    }
    printer.closeArray()
    printer.closeObject()
  }
  printer.end()
  output.write(printer.take())
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
