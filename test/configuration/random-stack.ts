/** Stacks with random configurations, and all that can be seen of one. */
import * as fc from 'fast-check'
import { IdleTun } from '../../lib/device/idle-tun.ts'
import { ip } from '../../lib/iproute2/ip.ts'
import { Random } from '../../lib/random/random.ts'
import { seededRandom } from '../../lib/random/seeded.ts'
import { Stack } from '../../lib/stack/stack.ts'
import { VirtualClock } from '../../lib/time/virtual-clock.ts'
import { nexthopCommand } from '../iproute2/arbitrary-nexthops.ts'
import { CommandGenerator } from '../iproute2/random-commands.ts'

/** A stack with loopback and two TUNs, of which one has a carrier; nothing is configured. */
export function newStack(loopbackUp = false): Stack {
  const stack = new Stack({ clock: new VirtualClock(), random: seededRandom(7), loopbackUp })
  stack.addDevice(new IdleTun('tun0'), { up: false })
  stack.addDevice(new IdleTun('tun1', true), { up: false })
  return stack
}

const SETTINGS = [
  ['net.ipv4.ip_forward', '1'],
  ['net.ipv4.ip_forward', '0'],
  ['net.ipv4.conf.default.rp_filter', '1'],
  ['net.ipv4.conf.all.rp_filter', '2'],
  ['net.ipv4.conf.tun0.rp_filter', '0'],
  ['net.ipv4.conf.tun1.forwarding', '1'],
  ['net.ipv4.conf.default.promote_secondaries', '1'],
  ['net.ipv4.conf.tun0.ignore_routes_with_linkdown', '1'],
  ['net.ipv4.conf.all.accept_redirects', '0'],
  ['net.ipv4.ip_local_port_range', '1030 1999'],
  ['net.ipv4.ip_unprivileged_port_start', '1029'],
  ['net.ipv4.ipfrag_high_thresh', '2000000'],
  ['net.ipv4.ipfrag_low_thresh', '1000000'],
] as const

/** A command of `ip`, or a setting. */
export type Change = string | (typeof SETTINGS)[number]

export function change(rules: boolean): fc.Arbitrary<Change> {
  const command = fc
    .nat()
    .map((seed) => new CommandGenerator(new Random(seededRandom(seed)), rules, true).next())
    // A changed MTU takes `linkdown` from hops that are dead, which no command gives back.
    .filter((text) => !/^l\w* .* mtu \d/.test(text))
  const objects = nexthopCommand.filter((text) => !/^carrier | mtu \d|^link del| flush| show/.test(text))
  // A finite lifetime is the one thing of an address that the generator has too seldom.
  const lasting = fc.constantFrom(
    'address add 10.1.0.3/24 dev tun0 valid_lft 100 preferred_lft 50',
    'address add 10.1.0.4/24 dev tun1 preferred_lft 0',
    'link set tun0 group 7',
    'route add 30.0.0.0/8 dev tun0 metric 9 congctl lock bbr initcwnd 4',
    'route add 30.0.0.0/8 nexthop dev tun0 weight 3 nexthop dev tun1 nexthop dev lo',
    'route add 30.0.0.0/8 metric 5 nexthop dev tun0 nexthop dev tun1',
    'address flush dev tun1',
    'route flush table all',
  )
  return fc.oneof(
    { weight: 12, arbitrary: command },
    { weight: 1, arbitrary: fc.constantFrom(...SETTINGS) },
    { weight: 1, arbitrary: lasting },
    { weight: 6, arbitrary: objects },
  )
}

export const BEGINNING: readonly string[] = [
  'link set lo up',
  'link set tun0 mtu 1300',
  'link set tun0 up',
  'link set tun1 up',
]

/** Carries the changes out; those that are refused change nothing. */
export function configure(stack: Stack, changes: readonly Change[]): void {
  for (const each of changes) {
    if (typeof each === 'string') {
      ip(stack, each)
      continue
    }
    try {
      stack.sysctlSet(each[0], each[1])
    } catch {} // bounded by another
  }
}

const SURVEY = [
  'link show',
  'address show',
  '-d nexthop',
  'route show table all',
  'rule show',
  '-d route show table all',
]

function* questions(): Generator<string, void, undefined> {
  const addresses: string[] = []
  for (let a = 0; a < 4; a++) {
    for (let b = 0; b < 2; b++) for (const c of [0, 1, 2, 4, 255]) addresses.push(`10.${a}.${b}.${c}`)
  }
  addresses.push('127.0.0.1', '127.0.0.5', '127.255.255.255', '8.8.8.8', '30.1.2.3', '30.0.0.9', '172.16.0.1')
  addresses.push('0.0.0.0', '0.0.0.5', '224.0.0.1', '224.0.0.9', '255.255.255.255', '10.9.9.9', '1.1.1.1')
  for (const address of addresses) {
    yield address
    yield `${address} mark 5 tos 0x10`
    yield `${address} oif tun0`
    // A group prefers the hop whose source it is, and the source is that of the time when the route was added.
    if (!address.startsWith('30.')) yield `${address} from 10.0.0.1`
    yield `${address} from 10.1.0.2 iif tun1`
    yield `fibmatch ${address}`
  }
}

/** Everything of a configuration that `ip` and `sysctl -a` show. */
export function survey(stack: Stack): string {
  const text = SURVEY.map((command) => `> ${command}\n${ip(stack, command).stdout}`)
  for (const question of questions()) {
    const { stdout, stderr } = ip(stack, `route get ${question}`)
    text.push(`> ${question}\n${stdout}${stderr}`)
  }
  for (const name of stack.sysctl.names()) text.push(`${name} = ${stack.sysctl.get(name)}\n`)
  return text.join('')
}
