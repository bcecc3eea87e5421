/**
 * `save`, `restore` and `showdump`: what is configured, written down as the kernel's own messages after a number
 * that tells what they are about, and sent back or printed from such a file.
 */
import { Errno, TunstackError } from '../errors.ts'
import { AddressFlag } from '../route/inet-address.ts'
import { NetlinkError } from '../route/rtnetlink.ts'
import { parseLinkFilter } from './address-list.ts'
import { addressRequest, encodeAddress, printableAddress } from './address-netlink.ts'
import { printAddressFields } from './address-printer.ts'
import type { Command } from './command.ts'
import { MalformedDump, MessageType, messages, type NetlinkMessage, u32 } from './netlink.ts'
import { answerText, Exit, Status } from './outcome.ts'
import { Printer } from './printer.ts'
import { noFilter } from './route-filter.ts'
import { requestOf, restorationPass, routeOf } from './route-netlink.ts'
import { printRoute } from './route-printer.ts'
import { ruleRequest } from './rule-netlink.ts'
import type { Words } from './words.ts'

/** The streams of the program that such files go through: bytes, not text. */
export interface DumpStreams {
  /** What is left of the standard input. */
  readonly input: () => Uint8Array
  readonly inputIsTerminal: boolean
  /** It can be read twice: no pipe. */
  readonly inputIsFile: boolean
  readonly outputIsTerminal: boolean
  readonly write: (bytes: Uint8Array) => void
}

/** How much of a file the number takes. */
const BEGINNING = 4

type Subject = 'route' | 'address' | 'rule'

const MAGIC: Readonly<Record<Subject, number>> = {
  route: 0x45311224,
  address: 0x47361222,
  rule: 0x71706986,
}

/** Begins a file. False, after a complaint, if it would go to a terminal. */
export function beginDump({ dumps, output }: Command, subject: Subject): boolean {
  if (dumps.outputIsTerminal) {
    output.complain('Not sending a binary stream to stdout')
    return false
  }
  dumps.write(u32(MAGIC[subject]))
  return true
}

/** The messages of a file on the standard input; `undefined` after a complaint. */
function openDump({ dumps, output }: Command, subject: Subject): Uint8Array | undefined {
  if (dumps.inputIsTerminal) {
    output.complain(`Can't restore ${subject} dump from a terminal`)
    return undefined
  }
  const bytes = dumps.input()
  const whole = bytes.length >= BEGINNING
  const magic = whole ? new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true) : 0
  if (magic === MAGIC[subject]) return bytes
  // Of less than a whole number the bytes are shown that there are.
  const shown = whole ? magic : bytes.reduce((number, byte, at) => number | (byte << (8 * at)), 0)
  output.complain(`Magic mismatch (${whole ? 1 : 0} elems, ${(shown >>> 0).toString(16)} magic)`)
  return undefined
}

/** True if all messages were gone through: neither the stream nor one of them was refused. */
function each({ output }: Command, bytes: Uint8Array, act: (message: NetlinkMessage) => void): boolean {
  try {
    for (const one of messages(bytes, BEGINNING)) act(one)
    return true
  } catch (error) {
    if (error instanceof MalformedDump) output.complain(error.message)
    else if (!(error instanceof Refused)) throw error
    return false
  }
}

/** What was told already. */
class Refused extends Error {}

/** Sends a message back: what is there already is told of and passed over. @throws Refused */
function send({ output }: Command, request: () => void): void {
  try {
    request()
  } catch (error) {
    if (!(error instanceof TunstackError) || error.errno === undefined) throw error
    output.complain(answerText(error))
    if (error.code !== 'EEXIST') throw new Refused()
  }
}

/** A message of another kind would be sent as well, and configure something else: here it is refused. */
function payloadOf({ type, payload }: NetlinkMessage, wanted: number): Uint8Array {
  if (type !== wanted) throw new NetlinkError(Errno.EOPNOTSUPP, undefined, 'dump')
  return payload
}

export function restoreRoutes(command: Command): number {
  const { stack, dumps, output } = command
  const { fib } = stack.routing
  const bytes = openDump(command, 'route')
  if (bytes === undefined) return Status.REFUSED
  if (!dumps.inputIsFile) {
    output.complain('Failed to restore: ftell: Illegal seek')
    return Status.REFUSED
  }
  for (let pass = 0; pass < 3; pass++) {
    const done = each(command, bytes, (one) =>
      send(command, () => {
        const payload = payloadOf(one, MessageType.NEWROUTE)
        if (restorationPass(payload) === pass) fib.addRoute(requestOf(payload, stack), 'prepend')
      }),
    )
    if (!done) return Status.KERNEL
  }
  return Status.OK
}

export function showRouteDump(command: Command): number {
  const { stack, output } = command
  const bytes = openDump(command, 'route')
  if (bytes === undefined) return Status.REFUSED
  // Never as JSON.
  const printer = new Printer({ ...command.options, json: false })
  const done = each(command, bytes, (one) =>
    send(command, () => {
      printRoute(printer, command, routeOf(payloadOf(one, MessageType.NEWROUTE), stack), noFilter())
      output.write(printer.take())
    }),
  )
  return done ? Status.OK : Status.KERNEL
}

/** @throws Exit: the program ends with it */
export function saveAddresses(command: Command, words: Words): never {
  const { stack, dumps } = command
  const filter = parseLinkFilter(command, words, command.options.family)
  if (filter === undefined) throw new Exit(Status.REFUSED, '')
  if (!beginDump(command, 'address')) throw new Exit(Status.REFUSED, '')
  const now = stack.clock.now()
  for (const address of stack.routing.addresses) {
    if (filter.device === undefined || filter.device === address.device)
      dumps.write(encodeAddress(address, now))
  }
  throw new Exit(Status.OK, '')
}

/** @throws Exit */
export function restoreAddresses(command: Command): never {
  const { stack } = command
  const bytes = openDump(command, 'address')
  if (bytes === undefined) throw new Exit(Status.USAGE, '')
  const done = each(command, bytes, (one) =>
    send(command, () => {
      const { device, config, autojoin } = addressRequest(payloadOf(one, MessageType.NEWADDR), stack)
      const { addresses, groups } = stack.routing
      const added = addresses.add(device, config, stack.clock.now())
      if (autojoin && groups.autojoin(device, config.peer ?? config.local))
        added.flags |= AddressFlag.AUTOJOIN
      stack.addressesChanged()
    }),
  )
  throw new Exit(done ? Status.OK : Status.USAGE, '')
}

/** @throws Exit */
export function showAddressDump(command: Command): never {
  const { stack, output } = command
  const bytes = openDump(command, 'address')
  if (bytes === undefined) throw new Exit(Status.USAGE, '')
  const printer = new Printer(command.options)
  printer.begin()
  printer.openObject()
  printer.openArray('addr_info')
  const done = each(command, bytes, (one) =>
    send(command, () => {
      const address = printableAddress(payloadOf(one, MessageType.NEWADDR), stack)
      printer.openObject()
      const { ifindex } = address.device
      printer.field('index', ifindex, `if${ifindex}:${command.options.oneline ? '\\' : '\n'}`)
      printAddressFields(printer, command, address, 0)
      output.write(printer.take()) // what ends the object waits for what comes after it
      printer.closeObject()
    }),
  )
  printer.closeArray()
  printer.closeObject()
  printer.end()
  output.write(printer.take())
  throw new Exit(done ? Status.OK : Status.USAGE, '')
}

/** @throws Exit */
export function restoreRules(command: Command): never {
  const { fib } = command.stack.routing
  const bytes = openDump(command, 'rule')
  if (bytes === undefined) throw new Exit(Status.USAGE, '')
  const done = each(command, bytes, (one) =>
    send(command, () => void fib.addRule(ruleRequest(payloadOf(one, MessageType.NEWRULE)), false)),
  )
  throw new Exit(done ? Status.OK : Status.USAGE, '')
}
