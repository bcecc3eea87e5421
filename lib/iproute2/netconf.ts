/** `ip netconf`: the settings of each device that programs on Linux watch for. */
import { IPV4_MIN_MTU } from '../route/fib.ts'
import type { DeviceConf } from '../sysctl/device-conf.ts'
import { type Command, deviceNamed } from './command.ts'
import { Family } from './grammar.ts'
import { Status } from './outcome.ts'
import { Printer } from './printer.ts'
import { usage } from './usage.ts'
import { abbreviates, abbreviatesAny, unknownCommand, type Words } from './words.ts'

export function netconf(command: Command, words: Words): number {
  if (words.done) return showSettings(command, words)
  const { word } = words
  words.skip()
  if (abbreviatesAny(word, 'show', 'lst', 'list')) return showSettings(command, words)
  if (abbreviates(word, 'help')) throw usage('netconf')
  throw unknownCommand(word, 'netconf help')
}

function showSettings(command: Command, words: Words): number {
  const { stack, options, output } = command
  let only: string | undefined
  for (; !words.done; words.skip()) {
    if (words.word !== 'dev') continue
    only = words.next()
    if (deviceNamed(command, only) !== undefined) continue
    output.complain(`Device "${only}" does not exist.`)
    return Status.REFUSED
  }
  const { sysctl, devices } = stack
  const { family } = options
  // Of a single device in a single family there is no JSON.
  const single = only !== undefined && family !== Family.UNSPEC
  const printer = new Printer({ ...options, json: options.json && !single })
  printer.begin()
  const wanted = family === Family.UNSPEC || family === Family.INET
  // IPv6 is off on every device, with the settings that Linux begins with; it is asked for only with all families.
  const six = family === Family.UNSPEC
  if (only !== undefined) {
    const device = deviceNamed(command, only)!
    if (wanted && device.mtu >= IPV4_MIN_MTU) printSettings(printer, device.name, sysctl.conf(device.ifindex))
    if (six && device.carriesInet6) printSettings6(printer, device.name)
  } else if (wanted) {
    for (const device of devices) {
      if (device.mtu >= IPV4_MIN_MTU) printSettings(printer, device.name, sysctl.conf(device.ifindex))
    }
    printSettings(printer, 'all', sysctl.all)
    printSettings(printer, 'default', sysctl.default)
    if (six) {
      for (const device of devices) if (device.carriesInet6) printSettings6(printer, device.name)
      printSettings6(printer, 'all')
      printSettings6(printer, 'default')
    }
  }
  printer.end()
  output.write(printer.take())
  return Status.OK
}

const REVERSE_PATH_FILTER = ['off', 'strict', 'loose']

function printFlag(printer: Printer, key: string, value: number): void {
  printer.field(key, value !== 0, `${key} ${value === 0 ? 'off' : 'on'} `)
}

function printSettings(printer: Printer, name: string, conf: DeviceConf): void {
  const flag = (key: string, value: number): void => printFlag(printer, key, value)
  printer.openObject()
  printer.field('family', 'inet', 'inet ')
  printer.field('interface', name, `${name} `)
  flag('forwarding', conf.forwarding)
  const filter = REVERSE_PATH_FILTER[conf.rp_filter] ?? 'unknown'
  printer.field('rp_filter', filter, `rp_filter ${filter} `)
  flag('mc_forwarding', conf.mc_forwarding)
  // There are no neighbours to answer for.
  flag('proxy_neigh', 0)
  flag('ignore_routes_with_linkdown', conf.ignore_routes_with_linkdown)
  printer.text('\n')
  printer.closeObject()
}

function printSettings6(printer: Printer, name: string): void {
  printer.openObject()
  printer.field('family', 'inet6', 'inet6 ')
  printer.field('interface', name, `${name} `)
  for (const key of ['forwarding', 'mc_forwarding', 'proxy_neigh', 'ignore_routes_with_linkdown']) {
    printFlag(printer, key, 0)
  }
  printer.text('\n')
  printer.closeObject()
}
