/**
 * Commands of `ip` for comparisons: random ones that often mean something to one another, and a list of single
 * ones with options and errors. None depends on time, on IPv6, or on what only a machine has. Within a batch,
 * iproute2 6.1 takes a name for the number that was read last (`proto static`, `proto 42`, `proto static` adds 42
 * twice): so the random ones name protocols and scopes, and number TOS values.
 */
import type { Random } from '../../lib/random/random.ts'

const DEVICES = ['lo', 'tun0', 'tun1']

export class CommandGenerator {
  readonly #random: Random
  readonly #rules: boolean
  readonly #realms: boolean

  /**
   * @param rules whether rules are added too: the first one parts table local from main for good
   * @param realms whether routes and rules have realms
   */
  constructor(random: Random, rules: boolean, realms: boolean) {
    this.#random = random
    this.#rules = rules
    this.#realms = realms
  }

  next(): string {
    const kind = this.#below(100)
    if (kind < 18) return this.#addressChange()
    if (kind < 45) return this.#routeChange()
    if (kind < 55) return this.#link()
    if (kind < 63) return this.#rules ? this.#rule() : this.#routeChange()
    if (kind < 66) return this.#flush()
    if (kind < 80) return this.#routeGet()
    if (kind < 92) return this.#routeShow()
    return this.#show()
  }

  #below(bound: number): number {
    return this.#random.below(bound)
  }

  #pick<T>(from: readonly T[]): T {
    return from[this.#below(from.length)]!
  }

  #chance(percent: number): boolean {
    return this.#below(100) < percent
  }

  #maybe(percent: number, text: () => string): string {
    return this.#chance(percent) ? ` ${text()}` : ''
  }

  #device(): string {
    return this.#chance(3) ? 'nope' : this.#pick(DEVICES)
  }

  #address(): string {
    return `10.${this.#below(3)}.${this.#below(2)}.${this.#below(5)}`
  }

  #addressChange(): string {
    const verb = this.#pick(['add', 'add', 'add', 'a', 'change', 'replace', 'del', 'del', 'd'])
    const length = this.#pick(['/24', '/24', '/24', '/16', '/30', '/31', '/32', '/255.255.255.0', ''])
    const local = this.#chance(4) ? '127.0.0.2' : this.#address()
    let text = `${this.#pick(['address', 'addr', 'a'])} ${verb} ${this.#maybe(10, () => 'local')} ${local}${length}`
    text += this.#maybe(10, () => `peer ${this.#address()}${this.#pick(['', '/24'])}`)
    if (!verb.startsWith('d')) {
      text += this.#maybe(
        40,
        () =>
          `${this.#pick(['brd', 'broadcast', 'b'])} ${this.#pick(['+', '+', '-', '10.0.0.255', '10.9.9.9'])}`,
      )
      text += this.#maybe(15, () => `scope ${this.#pick(['host', 'link', 'site', 'global', 'nowhere'])}`)
      text += this.#maybe(10, () => 'noprefixroute')
      text += this.#maybe(4, () => this.#pick(['nodad', 'secondary', 'home']))
      text += this.#maybe(12, () => `metric ${this.#pick(['5', '10', '0'])}`)
      text += this.#maybe(5, () =>
        this.#pick(['valid_lft 10', 'preferred_lft 0', 'valid_lft 0', 'preferred_lft forever']),
      )
      text += this.#maybe(8, () => `label ${this.#pick(['tun0:1', 'x', 'lo:0', 'muchtoolongalabel'])}`)
    }
    return `${text}${this.#chance(2) ? '' : ` dev ${this.#device()}`}`
  }

  #prefix(): string {
    return this.#pick([
      () => `10.${this.#below(4)}.0.0/16`,
      () => `10.${this.#below(3)}.${this.#below(2)}/24`,
      () => `10.${this.#below(3)}.${this.#below(2)}.${this.#below(4)}`,
      () =>
        this.#pick([
          '10/8',
          '10.0.0.0/9',
          'default',
          '0/1',
          '127.0.0.5',
          '8.8/16',
          '172.16/12',
          '10.0.0.1/24',
          '0x0a.1.0.0/255.255.0.0',
        ]),
      () => 'default',
    ])()
  }

  #routeChange(): string {
    const verb = this.#pick([
      'add',
      'add',
      'add',
      'a',
      'append',
      'ap',
      'prepend',
      'p',
      'replace',
      'r',
      'change',
      'c',
      'test',
      't',
      'del',
      'del',
      'd',
    ])
    const type = this.#maybe(20, () =>
      this.#pick([
        'blackhole',
        'unreachable',
        'prohibit',
        'throw',
        'local',
        'broadcast',
        'multicast',
        'unicast',
        'u',
        'bl',
        'brd',
      ]),
    )
    const plain = !/black|bl$|unr|u$|pro|thr/.test(type) || this.#chance(10)
    let text = `${this.#pick(['route', 'r', 'ro'])} ${verb}${type} ${this.#maybe(5, () => 'to')} ${this.#prefix()}`
    if (type !== '') text = text.replace(' to ', ' ')
    text += this.#maybe(15, () => `tos ${this.#pick(['0x10', '10', '28', '0x28', '3', '0xc0'])}`)
    text += this.#maybe(
      25,
      () =>
        `${this.#pick(['metric', 'm', 'priority', 'p'])} ${this.#pick(['5', '10', '20', '0', '0x10', '4294967295'])}`,
    )
    text += this.#maybe(
      20,
      () =>
        `${this.#pick(['table', 't'])} ${this.#pick(['100', '300', '356', 'local', 'default', 'main', '70000'])}`,
    )
    text += this.#maybe(
      15,
      () =>
        `${this.#pick(['proto', 'protocol', 'pro'])} ${this.#pick(['static', 'kernel', 'babel', 'boot', 'unspec'])}`,
    )
    text += this.#maybe(15, () => `src ${this.#address()}`)
    text += this.#maybe(10, () => `scope ${this.#pick(['host', 'link', 'global', 'site', 'nowhere'])}`)
    text += this.#maybe(20, () =>
      this.#pick([
        'mtu 1400',
        'mtu lock 1400',
        'mtu 70000',
        'advmss 500',
        'rtt 1s',
        'rtt 1.5s',
        'rttvar 20ms',
        'rto_min 200ms',
        'window lock 3000',
        'w 4',
        'cwnd 5',
        'hoplimit 7',
        'initcwnd 10 initrwnd 20',
        'features ecn',
        'quickack 1',
        'ssthresh lock 8',
        'reordering 3',
        'fastopen_no_cookie 1',
      ]),
    )
    text += this.#maybe(this.#realms ? 10 : 0, () => `realms ${this.#pick(['5', '5/6'])}`)
    if (!plain) return text
    if (this.#chance(12)) {
      // Which hop of a group a flow takes is each host's secret: groups are for destinations that nobody asks for.
      const apart = text.replace(
        /(\d+\.[\d./]+|default|0\/1|10\/8|0x[\d./a]+) *(?= |$)/,
        this.#pick(['30/8', '30.1/16', '30.1.2.3']),
      )
      return apart + this.#nexthops()
    }
    text += this.#maybe(
      45,
      () =>
        `via ${this.#chance(90) ? this.#address() : this.#pick(['127.0.0.1', '0.0.0.0', '255.255.255.255', '224.0.0.1'])}`,
    )
    text += this.#maybe(75, () => `dev ${this.#device()}`)
    return text + this.#maybe(8, () => 'onlink')
  }

  #nexthops(): string {
    let text = ''
    for (let count = 1 + this.#below(3); count > 0; count--) {
      text += ' nexthop'
      const via = this.#maybe(70, () => `via ${this.#address()}`)
      text += via
      text += this.#maybe(via === '' ? 100 : 80, () => `dev ${this.#pick(DEVICES)}`)
      text += this.#maybe(60, () => `weight ${this.#pick(['1', '3', '256'])}`)
      text += this.#maybe(8, () => 'onlink')
      text += this.#maybe(this.#realms ? 15 : 0, () => 'realms 7')
    }
    return text
  }

  #link(): string {
    const device = this.#device()
    const what = this.#pick([
      'up',
      'up',
      'up',
      'up',
      'down',
      'down',
      `mtu ${this.#pick(['1300', '1500', '60', '70000', '-1', '68', '65536'])}`,
    ])
    // Loopback keeps its MTU: below 68 there is no IPv4, and what then becomes of it is its own story.
    if (device === 'lo' && what.startsWith('mtu')) return 'link set lo mtu -1'
    return `${this.#pick(['link', 'l'])} ${this.#pick(['set', 's'])}${this.#maybe(40, () => 'dev')} ${device} ${what}`
  }

  #rule(): string {
    const verb = this.#pick(['add', 'add', 'add', 'a', 'del', 'd'])
    let text = `${this.#pick(['rule', 'ru'])} ${verb}${this.#maybe(10, () => 'not')}`
    text += this.#maybe(35, () => `from ${this.#pick(['10/8', '10.0.0.1', 'all', '10.1.0.1/16'])}`)
    text += this.#maybe(25, () => `to ${this.#pick(['10.1/16', '8.8.8.8', 'default'])}`)
    text += this.#maybe(10, () => `tos ${this.#pick(['0x10', '8', '3', '0x20'])}`)
    text += this.#maybe(15, () => `fwmark ${this.#pick(['5', '5/0xff', '0x10', '0/0xf'])}`)
    text += this.#maybe(15, () => `${this.#pick(['iif', 'dev'])} ${this.#pick(['lo', 'tun0', 'gone'])}`)
    text += this.#maybe(10, () => `oif ${this.#pick(['lo', 'tun1', 'gone'])}`)
    text += this.#maybe(6, () => 'uidrange 0-5')
    text += this.#maybe(6, () => `ipproto ${this.#pick(['tcp', 'udp', '200'])}`)
    text += this.#maybe(6, () => `sport ${this.#pick(['5', '5-7', '0', '7-5'])}`)
    text += this.#maybe(6, () => `dport ${this.#pick(['5', '5-7'])}`)
    text += this.#maybe(
      50,
      () =>
        `${this.#pick(['priority', 'pref', 'order'])} ${this.#pick(['50', '100', '200', '32766', '40000'])}`,
    )
    text += this.#maybe(this.#realms ? 20 : 0, () => 'realms 5')
    text += this.#maybe(8, () => 'protocol static')
    const action = this.#below(10)
    if (action < 6) {
      text += ` ${this.#pick(['table', 'lookup'])} ${this.#pick(['100', '300', 'main', '70000'])}`
      return text + this.#maybe(10, () => `suppress_prefixlength ${this.#pick(['0', '16'])}`)
    }
    if (action < 8)
      return `${text} ${this.#pick(['unreachable', 'prohibit', 'blackhole', 'type blackhole', 'nop'])}`
    return action === 8 ? text || 'rule show' : `${text} goto ${this.#pick(['100', '200', '32766'])}`
  }

  #flush(): string {
    return this.#pick([
      () => `address flush dev ${this.#device()}`,
      () =>
        `address flush ${this.#pick(['to 10.0/16', 'scope link', 'secondary', 'label tun0*', 'primary'])}`,
      () =>
        `route flush ${this.#pick(['table 100', 'dev tun0', 'root 10.1/16', 'proto static', 'table all dev tun1', 'type blackhole', 'cache'])}`,
      () => (this.#rules ? `rule flush table ${this.#pick(['100', '300'])}` : 'route flush exact 10/8'),
    ])()
  }

  #routeGet(): string {
    const destination = this.#pick([
      () => this.#address(),
      () =>
        this.#pick([
          '10.0.0.255',
          '10.1.255.255',
          '127.0.0.1',
          '127.1.2.3',
          '127.255.255.255',
          '8.8.8.8',
          '172.16.0.1',
          '0.0.0.0',
          '224.0.0.1',
          '224.0.0.9',
          '239.1.1.1',
          '255.255.255.255',
          '10.1',
          '10.0.0.1/24',
          '0.0.0.5',
          'fibmatch 30.1.2.3',
        ]),
    ])()
    let text = `route ${this.#pick(['get', 'g'])}${this.#maybe(15, () => 'fibmatch')} ${destination}`
    if (destination.startsWith('fibmatch')) return text
    if (this.#chance(15)) {
      text += ` from ${this.#pick([this.#address(), '8.8.8.8', '127.0.0.1', '224.0.0.1'])}`
      // From the wire, 0.0.0.0/8 is refused here and taken by Linux; and realms of the way back are not known.
      const input = destination !== '0.0.0.5' && !this.#realms
      if (this.#chance(50) && input) return `${text} iif ${this.#pick(DEVICES)}`
    } else text += this.#maybe(10, () => `from ${this.#address()}`)
    text += this.#maybe(25, () => `${this.#pick(['oif', 'dev'])} ${this.#device()}`)
    text += this.#maybe(10, () => `mark ${this.#pick(['5', '0x10', '0'])}`)
    text += this.#maybe(10, () => `tos ${this.#pick(['0x10', '28', '3'])}`)
    text += this.#maybe(6, () => `uid ${this.#pick(['0', '1000'])}`)
    text += this.#maybe(6, () => `ipproto ${this.#pick(['tcp', 'udp', 'icmp', '47'])}`)
    return text + this.#maybe(3, () => 'connected')
  }

  #routeShow(): string {
    const filters = [
      () => `table ${this.#pick(['all', 'local', 'main', '100', '300', '12345'])}`,
      () => `dev ${this.#device()}`,
      () => `proto ${this.#pick(['kernel', 'static', 'boot', 'babel'])}`,
      () => `scope ${this.#pick(['link', 'host', 'global'])}`,
      () => `type ${this.#pick(['unicast', 'blackhole', 'local', 'b'])}`,
      () =>
        `${this.#pick(['root', 'match', 'exact', 'to root', 'to', ''])} ${this.#pick(['10/8', '10.0/16', '10.0.0.1', 'default', '10.1.0.0/24'])}`,
      () => `tos ${this.#pick(['0', '0x10', '28'])}`,
      () => `metric ${this.#pick(['0', '5', '10'])}`,
      () => `via ${this.#pick([this.#address(), '10/8'])}`,
      () => `src ${this.#pick([this.#address(), '10/8'])}`,
      () => this.#pick(['realms 5', 'iif lo', 'mark 1', 'cached', 'from 10/8', 'from default']),
    ]
    let text = `route ${this.#pick(['show', 'list', 's', 'l', 'lst'])}`
    for (let count = this.#below(3); count >= 0; count--) text += ` ${this.#pick(filters)()}`
    return text
  }

  #show(): string {
    return this.#pick([
      () => `address show${this.#maybe(50, () => `dev ${this.#device()}`)}`,
      () =>
        `address show ${this.#pick(['up', 'primary', 'secondary', '-secondary', 'permanent', 'dynamic', 'deprecated', 'scope link', 'scope host', 'to 10.0/16', 'label tun0*', 'label lo', 'label tun0 dev tun0', 'type tun', 'group default', 'up scope global', 'noprefixroute'])}`,
      () =>
        `link show${this.#maybe(60, () => this.#pick(['up', 'dev tun0', 'tun1', 'type tun', 'group default', 'nope']))}`,
      () =>
        `rule show${this.#maybe(60, () => this.#pick(['from 10/8', 'to 10.1/16', 'table 100', 'pref 100', 'not', 'fwmark 5', 'iif lo', 'oif gone', 'proto static', 'ipproto tcp', 'tos 0x10', 'lookup main', '8.8.8.8']))}`,
      () =>
        this.#pick([
          'bogus',
          'a s lo',
          'li',
          'r',
          'route get',
          'address add 10.0.0.1/24',
          'route flush',
          'address flush',
          'rule add',
          '# a comment',
          'route show # default',
        ]),
    ])()
  }
}

/** Commands each of which is a program of its own: options, and arguments over which the program ends. */
export const SINGLE_COMMANDS: readonly string[] = `
-4 address show
link set lo up
link set tun0 up
address add 10.5.0.1/24 dev tun0 brd +
address add 10.5.0.2/24 dev tun0
address add 10.6.0.1/24 dev tun1 scope link metric 5
route add 10.7/16 via 10.5.0.9 mtu 1400
route add default nexthop via 10.5.0.8 weight 3 nexthop dev tun0
-s link show lo
-s -s link show lo
-s -4 address show
-o address show
-o link show
-o route show
-o -d route show table all
-d route show
-d rule show
-br address show
-br link show
-br -4 address show
-4 address show
-4 address show dev tun1
-0 address show
-4 route show table local
-family inet route show
-N route show table all
-N rule
-details route get 10.7.1.1
-oneline route get 10.7.1.1
-o route get 224.0.0.1 oif tun0
-s route flush 10.7/16
-s route flush 10.7/16
-s route flush cache
-s address flush dev tun1
-s address flush dev tun1
-bogus route
-family bogus route
route show table 100
route flush table 100
route get 1.1.1.1 from 10/8
route get default
-4 route get default
route get 10.5.0.9 as 1.2.3.4
route get 10.5.0.9 notify
route get 10.5.0.9 vrf x
route get 10.5.0.9 uid -1
route get 1.2.3.4 mark x
route get 1.2.3.4 iif
route get 1.2.3.4 ipproto bogus
route get 1.2.3.4 sport 70000
route get 1.2.3.4 tos bogus
route bogus
rule bogus
link bogus
address bogus
route add bogus
route add 10.0.0.0/33 dev lo
route add 10.0.0.300 dev lo
route add 10.0.0.0/8 via bogus
route add via bogus 10.0.0.0/8
route add default via bogus
route add 10/8 src bogus
route add 10/8 via any dev lo
route add 10/8 via 1.2.3.4 via 1.2.3.5
route add 10/8 dev lo junk
route add 10/8 dev lo metric x
route add 10/8 dev lo metric -1
route add 10/8 dev lo metric 4294967296
route add 10/8 dev lo table x
route add 10/8 dev lo proto x
route add 10/8 dev lo scope x
route add 10/8 dev lo tos x
route add 10/8 dev lo mtu x
route add 10/8 dev lo hoplimit 256
route add 10/8 dev lo rtt x
route add 10/8 dev lo features x
route add 10/8 dev lo quickack 2
route add 10/8 dev lo realms x
route add 10/8 dev lo pref 500
route add 10/8 dev
route add any dev tun0
route add 10/8 nhid 5
route add 10/8 dev lo nhid 5
route add 10/8 nexthop
route add 10/8 nexthop dev tun0 junk
route add 10/8 nexthop dev nope
route add 10/8 nexthop dev tun0 weight 257
route add 10/8 vrf x
route add 23.2/255.0.255.0 dev lo
route add 24.0.0.0/ dev lo
route add 25/8 via fe80::1 dev lo
route add 010.1/16 dev lo
route add 0x16.1/16 dev lo
route show
route test 22.1/16 dev lo
route test 11/8 dev lo
route add 13/8
route add 1/8 dev nope
route add 30/8 dev lo proto 77 scope 55 tos AF11
route add 31/8 dev lo proto 42 scope 253 realms cosmos/3
route show proto 77
route show proto all scope all
route show tos AF11
address add 10.30.0.1/24 dev tun1 scope 77
address show scope 77
address show scope all
route show type bogus
route show proto bogus
route show proto 300
route show scope bogus
route show table bogus
route show tos bogus
route show bogus
route show vrf x
route shw
route show dev nope
address add 10.0.0.300/24 dev lo
address add 10.0.0.1/24 10.0.0.2/24 dev lo
address add 10.0.0.1/24 dev lo junk
address add 10.0.0.1/24 brd bogus dev lo
address add 10.0.0.1/24 scope bogus dev lo
address add 10.0.0.1/24 brd + brd + dev lo
address add 10.0.0.1/24 peer 1.2.3.4 peer 1.2.3.5 dev lo
address add 10.0.0.1/24 metric x dev lo
address add 10.0.0.1/24 valid_lft x dev lo
address add 10.0.0.1/24 autojoin dev lo
address add dev tun0
address add default dev tun0
address add peer 10.0.0.1 dev tun0
address add 224.0.0.1/24 dev tun0
address add 0.0.0.0/24 dev tun0
address add 255.255.255.255/32 dev tun0
address add 10.8.0.0/24 dev tun0
address del 10.8.0.9/24 dev tun0
address del 10.8.0.0 dev tun0
address show tun0
address show scope bogus
address show nope
address show lo tun0
address show group bogus
address show master nope
link set
link set lo
link set tun0 mtu x
link set tun0 mtu 1 mtu 2
link set tun0 junk
link set nope up
link set tun0 up mtu
link show lo tun0
link s
rule show bogus
rule show pref x
rule show table x
rule add from bogus
rule add sport 0
rule add sport x
rule add sport 70000 prio 90
rule add uidrange 5
rule add tos 3
rule add tos 40
rule add tos x
rule add table x
rule add prio x
rule add fwmark x
rule add fwmark 1/x
rule add iif toolongdevicenamehere
rule add oif a/b
rule add ipproto 300
rule add ipproto 200 prio 4
rule add type local
rule add prio 7 goto 5
rule add prio 7 goto x
rule add junk
rule add suppress_prefixlength -1
rule del prio 99
rule del
rule add realms 5/6 prio 32
rule add fwmark 0 prio 30
rule add fwmark 0/0 prio 31
rule show
route get 10.5.0.1
route get fibmatch 10.5.0.1
rule flush
rule show
route get 10.5.0.1
`
  .split('\n')
  .filter((line) => line !== '')

/** Makes a state and takes all of it away again. */
export const TEARDOWN: readonly string[] = [
  'link set lo up',
  'link set tun0 up',
  'address add 10.5.0.1/24 dev tun0',
  'route add default via 10.5.0.9',
  'route flush table all',
  'route show table all',
  'address flush dev tun0',
  'address flush dev lo',
  'link set lo down',
  'link set lo up',
]
