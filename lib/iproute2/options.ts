/**
 * What stands before the object: `ip -s -4 link`. Long options may be cut short, as everything else may.
 */
import { Family } from './grammar.ts'
import { Exit, Status } from './outcome.ts'
import { abbreviates, type Words, wrong } from './words.ts'

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
  /** A single command: the kernel checks requests strictly. Those of a batch are not. */
  strict: boolean
  /**
   * `link show` came before in this batch: iproute2 then takes `address show` for a question about links, prints
   * their mode, and of a single device no addresses.
   */
  linkShown: boolean
}

export function defaultOptions(strict: boolean): IpOptions {
  return {
    family: Family.UNSPEC,
    statistics: 0,
    details: false,
    oneline: false,
    brief: false,
    numeric: false,
    strict,
    linkShown: false,
  }
}

const FAMILIES: Readonly<Record<string, number>> = {
  inet: Family.INET,
  inet6: Family.INET6,
  link: Family.PACKET,
}

/** Reads options up to the first word that is none. @throws Exit */
export function parseOptions(words: Words, options: IpOptions): void {
  for (; !words.done && words.word.startsWith('-'); words.skip()) {
    const { word } = words
    if (word === '--') {
      words.skip()
      return
    }
    const option = word.startsWith('--') ? word.slice(1) : word
    if (abbreviates(option, '-family')) {
      const name = words.next()
      const family = FAMILIES[name]
      if (family === undefined) throw wrong(name, 'invalid protocol family', false)
      options.family = family
    } else if (!setOption(option, options)) {
      throw new Exit(Status.USAGE, `Option "${option}" is unknown, try "ip -help".`)
    }
  }
}

/** In iproute2's order; options that change nothing here are taken and forgotten. */
const OPTIONS: readonly (readonly [string, ((options: IpOptions) => void) | null])[] = [
  ['-human-readable', null],
  ['-stats', (options) => options.statistics++],
  ['-statistics', (options) => options.statistics++],
  ['-details', (options) => (options.details = true)],
  ['-resolve', null],
  ['-oneline', (options) => (options.oneline = true)],
  ['-force', null],
  ['-brief', (options) => (options.brief = true)],
  ['-Numeric', (options) => (options.numeric = true)],
]

function setOption(option: string, options: IpOptions): boolean {
  if (option === '-4') options.family = Family.INET
  else if (option === '-6') options.family = Family.INET6
  else if (option === '-0') options.family = Family.PACKET
  else {
    const found = OPTIONS.find(([name]) => option !== '-' && abbreviates(option, name))
    if (found === undefined) return false
    found[1]?.(options)
  }
  return true
}
