/**
 * `ip neighbor`: a stack of IP packets resolves no addresses, so its table of neighbours is empty and stays so.
 * Questions about it are answered, and what would put an entry into it is refused.
 */
import { Errno } from '../errors.ts'
import { NetlinkError } from '../route/rtnetlink.ts'
import { type Command, deviceNamed, findDevice } from './command.ts'
import {
  Family,
  invalidLinkAddress,
  parseHost,
  parseLinkAddress,
  parsePrefix,
  parseUnsigned,
} from './grammar.ts'
import { protocols } from './names.ts'
import { answerText, Exit, Status, talk } from './outcome.ts'
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

const LLADDR_MAX = 20
/** Bytes of an address of loopback; other devices have none. */
const LOOPBACK_LENGTH = 6

const STATES = ['permanent', 'reachable', 'noarp', 'none', 'stale', 'incomplete', 'delay', 'probe', 'failed']

export function neigh(command: Command, words: Words): number {
  if (words.done) return showNeighbours(command, words)
  const { word } = words
  words.skip()
  if (abbreviates(word, 'add')) return modifyNeighbour(command, words, 'add')
  if (abbreviates(word, 'change') || word === 'chg') return modifyNeighbour(command, words, 'change')
  if (abbreviates(word, 'replace')) return modifyNeighbour(command, words, 'add')
  if (abbreviates(word, 'delete')) return modifyNeighbour(command, words, 'delete')
  if (abbreviates(word, 'get')) return getNeighbour(command, words)
  if (abbreviatesAny(word, 'show', 'lst', 'list')) return showNeighbours(command, words)
  if (abbreviates(word, 'flush')) return flushNeighbours(command, words)
  if (abbreviates(word, 'help')) throw usage('neigh')
  throw unknownCommand(word, 'neigh help')
}

function parseState(word: string): void {
  if (STATES.some((state) => abbreviates(word, state)) || parseUnsigned(word, 0xff) !== undefined) return
  throw wrong(word, 'nud state is bad', false)
}

/** False after a complaint. @throws Exit */
function parseFilter(command: Command, words: Words): boolean {
  let device: string | undefined
  for (; !words.done; words.skip()) {
    const { word } = words
    if (word === 'dev') {
      if (device !== undefined) throw duplicate('dev', words.next())
      device = words.next()
    } else if (word === 'master') {
      if (deviceNamed(command, words.next()) === undefined) {
        throw wrong(words.word, 'Device does not exist')
      }
    } else if (word === 'vrf') throw wrong(words.next(), 'Not a valid VRF name')
    else if (word === 'nomaster' || abbreviates(word, 'unused') || word === 'proxy') continue
    else if (word === 'nud') {
      if (words.next() !== 'all') parseState(words.word)
    } else {
      words.skipKeyword('to')
      if (abbreviates(words.word, 'help')) throw usage('neigh')
      parsePrefix(words.word, command.options.family)
    }
  }
  return device === undefined || findDevice(command, device) !== undefined
}

function showNeighbours(command: Command, words: Words): number {
  if (!parseFilter(command, words)) return Status.REFUSED
  const printer = new Printer(command.options)
  printer.begin()
  printer.end()
  command.output.writeSome(printer.take())
  return Status.OK
}

function flushNeighbours(command: Command, words: Words): number {
  const { options, output } = command
  if (words.done) {
    output.complain('Flush requires arguments.')
    return Status.REFUSED
  }
  if (!parseFilter(command, words)) return Status.REFUSED
  output.write(options.statistics > 0 ? 'Nothing to flush.\n' : '')
  return Status.OK
}

interface Target {
  /** A word was taken for the address; `named` if it was `default` or the like, which is none. */
  address: boolean
  named: boolean
  /** An address that others are answered for. */
  proxy: boolean
  family: number
  /** Bytes of the address of the link layer, if one was given. */
  linkLength: number | undefined
  device: string | undefined
}

/** @throws Exit */
function parseTarget(command: Command, words: Words, question = false): Target {
  const target: Target = {
    address: false,
    named: false,
    proxy: false,
    family: command.options.family,
    linkLength: undefined,
    device: undefined,
  }
  for (; !words.done; words.skip()) {
    const { word } = words
    if (question && word !== 'dev') parseAddress(command, target, words)
    else if (word === 'lladdr') {
      const bytes = parseLinkAddress(words.next(), LLADDR_MAX)
      if (typeof bytes === 'string') throw new Exit(1, invalidLinkAddress(bytes))
      target.linkLength = bytes.length
    } else if (abbreviates(word, 'protocol')) {
      if (protocols.parse(words.next()) === undefined) {
        throw wrong(words.word, '"protocol" value is invalid')
      }
    } else if (word === 'nud') parseState(words.next())
    else if (['router', 'use', 'managed', 'extern_learn'].some((flag) => abbreviates(word, flag))) continue
    else if (word === 'dev') target.device = words.next()
    else parseAddress(command, target, words)
  }
  return target
}

function parseAddress(command: Command, target: Target, words: Words): void {
  if (abbreviates(words.word, 'proxy')) {
    words.next()
    target.proxy = true
  }
  words.skipKeyword('to')
  if (abbreviates(words.word, 'help')) throw usage('neigh')
  if (target.address) throw garbage('to', words.word)
  const named = command.options.family === Family.UNSPEC && ['default', 'all', 'any'].includes(words.word)
  target.family = parseHost(words.word, command.options.family).family
  target.address = true
  target.named = named
}

function modifyNeighbour(command: Command, words: Words, verb: 'add' | 'change' | 'delete'): number {
  const { address, named, device: name, proxy, family, linkLength } = parseTarget(command, words)
  if (!address || named || (name === undefined && !proxy)) {
    throw new Exit(Status.USAGE, 'Device and destination are required arguments.')
  }
  const device = name === undefined ? undefined : findDevice(command, name)
  if (name !== undefined && device === undefined) return Status.REFUSED
  const refuse = (code: number, extack?: string): NetlinkError => new NetlinkError(code, extack, 'neighbour')
  const short = linkLength !== undefined && device?.isLoopback === true && linkLength < LOOPBACK_LENGTH
  let answer = refuse(verb === 'add' ? Errno.EOPNOTSUPP : Errno.ENOENT)
  if (family === Family.BRIDGE) answer = refuse(Errno.EINVAL, 'invalid address')
  else if (short && verb !== 'delete') answer = refuse(Errno.EINVAL, 'Invalid link address')
  else if (family !== Family.INET && family !== Family.INET6) answer = refuse(Errno.EAFNOSUPPORT)
  else if (family === Family.INET6 && verb !== 'delete' && !proxy) {
    answer = refuse(Errno.EINVAL, 'IPv6 is disabled on this device')
  }
  // The program ends over it, whatever is left of a batch.
  throw new Exit(Status.KERNEL, answerText(answer))
}

function getNeighbour(command: Command, words: Words): number {
  const { address, named, device, proxy, family } = parseTarget(command, words, true)
  if (!address || named || (device === undefined && !proxy)) {
    command.output.complain('Device and address are required arguments.')
    return Status.REFUSED
  }
  if (device !== undefined && findDevice(command, device) === undefined) return Status.REFUSED
  return talk(command.output, () => {
    if (family === Family.BRIDGE) {
      throw new NetlinkError(Errno.EINVAL, 'Unsupported attribute in fdb get request', 'neighbour')
    }
    if (family !== Family.INET && family !== Family.INET6) {
      const extack = 'Unsupported family in header for neighbor get request'
      throw new NetlinkError(Errno.EINVAL, extack, 'neighbour')
    }
    const what = proxy ? 'Proxy neighbour' : 'Neighbour'
    throw new NetlinkError(Errno.ENOENT, `${what} entry not found`, 'neighbour')
  })
}
