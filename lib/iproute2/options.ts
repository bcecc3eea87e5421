/**
 * What stands before the object: `ip -s -4 link`. Long options may be cut short, as everything else may.
 */
import { ADDRESS_FAMILIES, Family, parseUnsigned } from './grammar.ts'
import { NexthopMemory } from './nexthop-memory.ts'
import { Exit, type Output, Status } from './outcome.ts'
import { usage } from './usage.ts'
import { abbreviates, type Words, wrong } from './words.ts'

/** What `ip -V` says: the version whose language this is. */
const VERSION = 'ip utility, iproute2-6.1.0, libbpf 1.1.2'

export interface IpOptions {
  /** {@link Family}; what was asked for with `-4` and the like. */
  family: number
  /** How often `-s` was given. */
  statistics: number
  details: boolean
  oneline: boolean
  brief: boolean
  /** Numbers for names. */
  numeric: boolean
  json: boolean
  /** JSON over many lines. */
  pretty: boolean
  /** A batch goes on after a command that failed. */
  force: boolean
  /** The file of a batch; `-` is the standard input. */
  batch: string | undefined
  /** A single command: the kernel checks requests strictly. Those of a batch are not. */
  strict: boolean
  /**
   * `link show` came before in this batch: iproute2 then takes `address show` for a question about links, prints
   * their mode, and of a single device no addresses.
   */
  linkShown: boolean
  /** The device that `maddress` of this batch was asked for: iproute2 never forgets it. */
  maddressDevice: string | undefined
  /** What this program knows of nexthop objects from the commands before. */
  nexthops: NexthopMemory
}

export function defaultOptions(strict: boolean): IpOptions {
  return {
    family: Family.UNSPEC,
    statistics: 0,
    details: false,
    oneline: false,
    brief: false,
    numeric: false,
    json: false,
    pretty: false,
    force: false,
    batch: undefined,
    strict,
    linkShown: false,
    maddressDevice: undefined,
    nexthops: new NexthopMemory(),
  }
}

/** Reads options up to the first word that is none. @throws Exit */
export function parseOptions(words: Words, options: IpOptions, output: Output): void {
  for (; !words.done && words.word.startsWith('-'); words.skip()) {
    const { word } = words
    if (word === '--') {
      words.skip()
      return
    }
    const option = word.startsWith('--') ? word.slice(1) : word
    const family = FAMILY_OPTIONS[option]
    if (family !== undefined) options.family = family
    else {
      // A bare `-` begins them all: the first one in the order is `-loops`.
      const found = OPTIONS.find(([name]) =>
        name === '-color' ? isColor(option) : abbreviates(option, name),
      )
      if (found === undefined) throw new Exit(Status.USAGE, `Option "${option}" is unknown, try "ip -help".`)
      found[1]?.(options, words, output)
    }
  }
}

/** `-color=never` and the like: here nothing is ever coloured. */
function isColor(option: string): boolean {
  const [name, when] = /^([^=]*)(?:=(.*))?$/s.exec(option)!.slice(1)
  return abbreviates(name!, '-color') && ['', 'always', 'auto', 'never'].includes(when ?? '')
}

type Setter = (options: IpOptions, words: Words, output: Output) => void

/** The word after an option that needs one. @throws Exit */
function value(words: Words): string {
  if (words.left <= 1) throw usage('ip')
  return words.next()
}

/** In iproute2's order; options that change nothing here are taken and forgotten. */
const OPTIONS: readonly (readonly [string, Setter | null])[] = [
  ['-loops', (_, words) => void value(words)],
  ['-family', setFamily],
  ['-human-readable', null],
  ['-iec', null],
  ['-stats', (options) => options.statistics++],
  ['-statistics', (options) => options.statistics++],
  ['-details', (options) => (options.details = true)],
  ['-resolve', null],
  ['-oneline', (options) => (options.oneline = true)],
  ['-timestamp', null],
  ['-tshort', null],
  [
    '-Version',
    (_options, _words, output) => {
      output.write(`${VERSION}\n`)
      throw new Exit(Status.OK, '')
    },
  ],
  ['-force', (options) => (options.force = true)],
  ['-batch', (options, words) => (options.batch = value(words))],
  ['-brief', (options) => (options.brief = true)],
  ['-json', (options) => (options.json = true)],
  ['-rcvbuf', setReceiveBuffer],
  ['-color', null],
  [
    '-help',
    () => {
      throw usage('ip')
    },
  ],
  ['-netns', openNamespace],
  ['-Numeric', (options) => (options.numeric = true)],
  ['-all', null],
  ['-echo', null],
  ['-pretty', (options) => (options.pretty = true)],
]

const FAMILY_OPTIONS: Readonly<Record<string, number>> = {
  '-4': Family.INET,
  '-6': Family.INET6,
  '-0': Family.PACKET,
  '-M': Family.MPLS,
  '-B': Family.BRIDGE,
}

function setFamily(options: IpOptions, words: Words): void {
  const name = value(words)
  if (name === 'help') throw usage('ip')
  const family = ADDRESS_FAMILIES.get(name)
  if (family === undefined) throw wrong(name, 'invalid protocol family', false)
  options.family = family
}

function setReceiveBuffer(_: IpOptions, words: Words): void {
  const size = value(words)
  if (parseUnsigned(size) === undefined) throw new Exit(Status.USAGE, `Invalid rcvbuf size '${size}'`)
}

/** A stack is one namespace and knows of no other. */
function openNamespace(_: IpOptions, words: Words): void {
  const name = words.left <= 1 ? '(null)' : words.next()
  const text = `Cannot open network namespace "${name}": No such file or directory`
  throw new Exit(Status.USAGE, text)
}
