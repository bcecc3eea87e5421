/**
 * What follows `type KIND` of a link. No such device can be made here, but iproute2 reads those words before the
 * kernel hears of them, and has for most kinds a usage text of its own.
 */
import { Errno } from '../errors.ts'
import { NetlinkError } from '../route/rtnetlink.ts'
import type { Command } from './command.ts'
import type { LinkRequest } from './link-words.ts'
import { Status, talk } from './outcome.ts'
import { usage, usageOf } from './usage.ts'
import { abbreviates, type Words } from './words.ts'

/** Kinds with words of their own. */
const KINDS = [
  'amt',
  'bareudp',
  'bond',
  'bond_slave',
  'bridge',
  'bridge_slave',
  'can',
  'dsa',
  'geneve',
  'gtp',
  'hsr',
  'ipoib',
  'ipvlan',
  'ipvtap',
  'macsec',
  'macvlan',
  'macvtap',
  'rmnet',
  'vlan',
  'vrf',
  'vxlan',
  'wwan',
  'xfrm',
]
/** Those that print how they are used as if it had been asked for. */
const PAIRS = ['veth', 'vxcan']
/** Those of which more is asked from the kernel first. */
const TUNNELS = ['erspan', 'gre', 'gretap', 'ip6gre', 'ip6gretap', 'ip6tnl', 'ipip', 'sit', 'vti', 'vti6']
/** Those that take any word, and look at none. */
const SILENT = ['dummy', 'ifb', 'netdevsim', 'nlmon', 'team', 'team_slave', 'vcan', 'virt_wifi', 'vrf_slave']

/** `link help KIND`. @throws Exit for a kind of which there is nothing to say */
export function helpWithKind({ output }: Command, kind: string): number {
  const known = [...KINDS, ...PAIRS, ...TUNNELS, ...SILENT]
  if (!known.includes(kind) || kind === 'vrf_slave') throw usage('link')
  output.hold(usageOf('link'))
  return Status.OK
}

export function misplacedWords({ word }: Words): string {
  return `Garbage instead of arguments "${word} ...". Try "ip link help".`
}

/** The exit status if the words end it. @throws Exit */
export function checkKindWords(
  { output }: Command,
  { type }: LinkRequest,
  words: Words,
  verb: 'add' | 'set',
): number {
  if (type === undefined || words.done) return Status.OK
  const { word } = words
  const refuse = (): number =>
    talk(output, () => {
      throw new NetlinkError(Errno.EOPNOTSUPP, undefined, 'link')
    })
  if (SILENT.includes(type)) return verb === 'add' ? Status.OK : refuse()
  if (TUNNELS.includes(type) && verb === 'set') {
    output.complain('Failed to get existing tunnel info.')
    return Status.REFUSED
  }
  const pair = PAIRS.includes(type)
  if (pair || KINDS.includes(type) || TUNNELS.includes(type)) {
    if (pair) output.hold(usageOf('link'))
    else if (abbreviates(word, 'help')) output.complain(usageOf('link').slice(0, -1))
    else return refuse()
    return Status.REFUSED
  }
  // Words for a TUN the kernel looks at.
  if (type === 'tun') return Status.OK
  if (abbreviates(word, 'help')) throw usage('link')
  output.complain(misplacedWords(words))
  return Status.REFUSED
}
