/**
 * Configurations between the kernel and the stack, both ways: what is read from a network namespace makes a stack
 * that answers like the kernel, and what a stack saves makes a network namespace that looks like the stack.
 */
import { expect } from 'chai'
import fc from 'fast-check'
import { fromKernel, type KernelStack } from '../../lib/configuration/from-kernel.ts'
import { stackFromJson } from '../../lib/configuration/load.ts'
import { saveBatch } from '../../lib/configuration/save.ts'
import { ip } from '../../lib/iproute2/ip.ts'
import { Random } from '../../lib/random/random.ts'
import { seededRandom } from '../../lib/random/seeded.ts'
import type { Stack } from '../../lib/stack/stack.ts'
import { nexthopCommand } from '../iproute2/arbitrary-nexthops.ts'
import { CommandGenerator } from '../iproute2/random-commands.ts'
import { execute, type Namespace } from './harness/namespace.ts'
import { useTestbed } from './netns.ts'

const SETUP = `
address add 10.5.0.1/24 brd + dev tun0
address add 10.5.0.2/24 dev tun0 label tun0:x
address add 10.5.1.1/24 brd + dev tun0 metric 50
address add 10.6.0.1 peer 10.6.0.9/32 dev tun1
address add 10.6.1.1/28 dev tun1 scope link
address add 10.7.0.1/16 brd 10.7.9.9 dev veth0
address add 10.8.0.1/24 dev veth1 noprefixroute
address add 10.7.0.2/16 dev veth1 preferred_lft 0
address add 10.3.0.110/24 dev lo
route add default via 10.7.0.9 proto dhcp src 10.7.0.1 metric 100
route add default via 10.5.0.9 metric 200 mtu 1400 advmss 1300
route add 20.0.0.0/8 via 10.5.0.9 proto static initcwnd 20 rto_min 300ms
route append 20.0.0.0/8 via 10.5.0.8 proto static
route prepend 20.0.0.0/8 via 10.5.0.7
route add 20.0.0.0/8 tos 0x10 via 10.7.0.5
route add 20.1.0.0/16 dev tun1 metric 7
route add 20.2.0.0/16 nexthop via 10.5.0.8 weight 3 nexthop via 10.7.0.8 nexthop dev tun1 weight 2
route add 20.3.0.0/16 via 99.1.1.1 dev veth0 onlink
route add 20.4.0.0/16 via 10.5.0.9 rtt 1s rttvar 20ms hoplimit 9 quickack 1 congctl cubic features ecn realms 5/6
route add blackhole 21.0.0.0/8
route add unreachable 21.1.0.0/16
route add prohibit 21.2.0.0/16
route add throw 22.0.0.0/8 table 100
route add multicast 239.0.0.0/8 dev veth0
route add 10.5.0.128/25 dev veth0 table 100
route add default via 10.5.0.3 table 100 proto 77
route add 20.0.0.0/8 dev tun1 table 356 scope host
route add 20.0.0.0/8 via 10.5.0.4 table 100
route add 23.0.0.0/8 dev tun0 table 300
route add default dev tun0 table 44
route add local 24.0.0.0/24 dev lo
route add broadcast 25.0.0.1 dev tun0
route del broadcast 10.5.0.255 dev tun0
route add 26.0.0.0/8 via 10.5.0.66 table 100 src 10.5.0.2
route del 10.6.1.0/28
nexthop add id 5 via 10.7.0.9 dev veth0 protocol static
nexthop add id 6 via 10.7.0.2 dev veth1
nexthop add id 7 dev veth0
nexthop add id 8 blackhole
nexthop add id 9 via 99.1.1.1 dev veth0 onlink
nexthop add id 20 group 5,3/6/9
nexthop add id 21 group 8
route add 27.0.0.0/16 nhid 5
route add 27.1.0.0/16 nhid 20 metric 5
route add 27.2.0.0/16 nhid 7 mtu 1300 src 10.7.0.1
route add 27.3.0.0/16 nhid 7 mtu 0 src 10.7.0.1
route add 27.4.0.0/16 nhid 21 table 100
route add unreachable 27.5.0.0/16 nhid 8
route add 27.6.0.0/16 nhid 9 tos 0x10 proto 77
rule add from 10.5.0.0/24 to 20.0.0.0/8 priority 90 table 356
rule add fwmark 5 priority 100 table 100
rule add fwmark 0x10/0xf0 priority 110 table 300 suppress_prefixlength 8
rule add iif tun0 priority 120 table 44
rule add to 22.0.0.0/8 priority 130 goto 200
rule add ipproto tcp dport 80-90 priority 140 unreachable
rule add priority 150 oif gone blackhole
rule add not from 10.0.0.0/8 tos 0x10 priority 160 table 100 protocol static
rule add priority 200 nop
rule add priority 210 to 9.9.9.9 prohibit
rule add priority 210 to 9.9.9.0/24 table 44
rule add uidrange 1000-2000 priority 220 table 300
`

/** The kernel's state as the project documents to read it. */
function read(host: Namespace): KernelStack {
  const json = (command: string): unknown => JSON.parse(host.ip(`-N -j ${command}`) || '[]')
  return fromKernel(
    {
      link: json('-d link show'),
      address: json('address show'),
      route: json('route show table all'),
      nexthop: json('nexthop show'),
      rule: json('-d rule show'),
      routeGet: answer(() => json('route get 127.0.0.1')),
      sysctl: execute([...host.prefix, 'sysctl', '-a', '-r', '^net.ipv4']),
    },
    { random: seededRandom(1) },
  )
}

/** `undefined` where there is none: with loopback down, 127.0.0.1 is unreachable. */
function answer(ask: () => unknown): unknown {
  try {
    return ask()
  } catch {
    return undefined
  }
}

/** What a stack has no name for: the link layer, and the other end of a veth. */
function plain(text: string): string {
  return text
    .replace(/@\w+:/g, ':')
    .replaceAll(',M-DOWN', '')
    .replace(/^ {4}link\/.*\n/gm, '')
}

/** What is compared; of links only what a stack knows of them. */
const SHOWN = ['address show', 'link show', 'route show', '-4 -o address show', 'nexthop show groups'].concat(
  ['', '-d ', '-j ', '-j -d ', '-N ', '-o -d ', '-j -p '].flatMap((options) => [
    `-4 ${options}route show table all`,
    `${options}rule show`,
    `${options}nexthop show`,
  ]),
)

/** Of `ip -j address`, the addresses of each device. */
function onlyAddresses(devices: unknown): unknown {
  return (devices as { ifname: string; addr_info: unknown }[]).map(({ ifname, addr_info }) => ({
    ifname,
    addr_info,
  }))
}

const SEEDS = (process.env['CONFIGURATION_SEEDS'] ?? '1 2 3').split(' ').map(Number)
const COMMANDS = 120

/** Commands about nexthop objects, over the devices that have a carrier. */
function nexthops(seed: number): string[] {
  const addresses = ['address add 10.0.0.1/24 dev veth0', 'address add 10.1.0.1/24 dev veth1']
  const commands = fc
    .sample(nexthopCommand, { seed, numRuns: 150 })
    .filter((text) => !/^carrier |^link |^rule | flush| show| get/.test(text))
    .map((text) => text.replace(/\btun/g, 'veth'))
  return [...addresses, ...commands]
}

const GROUP = /^(20\.2|27\.1)\./

function* questions(): Generator<string, void, undefined> {
  const places: string[] = []
  for (const net of ['10.5.0', '10.5.1', '10.6.0', '10.6.1', '10.7.0', '10.7.9', '10.8.0', '10.3.0']) {
    for (const host of [0, 1, 2, 8, 9, 110, 129, 200, 255]) places.push(`${net}.${host}`)
  }
  for (let net = 20; net < 28; net++) {
    for (const rest of ['0.0.1', '1.0.1', '2.0.1', '3.0.1', '4.0.1', '5.0.1', '6.0.1', '255.255.255'])
      places.push(`${net}.${rest}`)
  }
  places.push('127.0.0.1', '127.9.9.9', '8.8.8.8', '9.9.9.9', '9.9.9.8', '239.1.2.3', '224.0.0.1', '0.0.0.0')
  for (const place of places) {
    if (GROUP.test(place)) continue
    yield place
    yield `${place} mark 5`
    yield `${place} mark 0x12 tos 0x10`
    yield `${place} from 10.5.0.2`
    yield `${place} from 30.0.0.1 iif tun0`
    yield `${place} from 10.7.0.77 iif veth0 mark 5`
    yield `${place} oif tun1`
    yield `${place} ipproto tcp dport 85`
    yield `${place} uid 1500`
  }
}

describe('configurations of the kernel', function () {
  this.timeout(60_000)
  const bed = useTestbed()

  function machine(): Namespace {
    const host = bed.namespace('machine')
    host.addTun('tun0', { up: false })
    host.addTun('tun1', { up: false, mtu: 1400 })
    host.ip('link add veth0 type veth peer name veth1')
    return host
  }

  function runBatch(host: Namespace, text: string): void {
    execute(['ip', '-n', host.name, '-batch', '-'], text)
  }

  /** The kernel finds out a moment later that a TUN has no carrier. */
  async function settle(host: Namespace): Promise<void> {
    for (let tries = 0; tries < 150; tries++) {
      if (!/<POINTOPOINT,MULTICAST,NOARP,UP>|veth.*state (UNKNOWN|LOWER)/.test(host.ip('link show'))) return
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    throw new Error('the links did not settle within 3 s')
  }

  function expectSameTexts(host: Namespace, stack: Stack): void {
    for (const command of SHOWN) {
      expect(plain(ip(stack, command).stdout), command).to.equal(plain(host.ip(command)))
    }
    for (const command of ['-4 -j address show', '-4 -j -d address show']) {
      const ours = JSON.parse(ip(stack, command).stdout) as unknown
      expect(onlyAddresses(ours), command).to.deep.equal(onlyAddresses(JSON.parse(host.ip(command))))
    }
  }

  async function expectSameAnswers(host: Namespace, stack: Stack): Promise<number> {
    const all = [...questions()]
    const batch = all.map((question, i) => `route get ${question}\n@${i}\n`).join('')
    const { stdout } = await host.run(['sh', '-c', `exec ip -force -batch - 2>&1`], { input: batch })
    const marker = /^Object "@\d+" is unknown, try "ip help"\.\nCommand failed -:\d+\n/m
    const answers = stdout.split(marker)
    all.forEach((question, i) => {
      const own = ip(stack, `route get ${question}`)
      const theirs = answers[i]!.replace(/^Command failed .*\n/m, '')
      expect(own.stdout + own.stderr, `route get ${question}`).to.equal(theirs)
    })
    return all.length
  }

  for (const forward of [0, 1]) {
    it(`make a stack that answers as the kernel does, ip_forward ${forward}`, async () => {
      const host = machine()
      host.sysctl('net.ipv4.ip_forward', forward)
      host.sysctl('net.ipv4.conf.all.rp_filter', 0)
      for (const name of ['tun0', 'tun1', 'veth0', 'veth1']) host.ip(`link set ${name} up`)
      runBatch(host, SETUP)
      host.sysctl('net.ipv4.conf.veth0.rp_filter', 1)
      await settle(host)
      const { stack, skipped } = read(host)
      expect(skipped.filter(({ path }) => path !== 'sysctl')).to.deep.equal([])
      expectSameTexts(host, stack)
      expect(await expectSameAnswers(host, stack)).to.be.greaterThan(500)
      expect(stack.sysctlGet('net.ipv4.conf.veth0.rp_filter')).to.equal('1')
      expect(stack.explain('20.0.0.1').text).to.match(/looks? in table|look in table main/)
      await stack.close()
    })
  }

  it('keep a device that is down, dead next hops, and routes without a way to their gateway', async () => {
    const host = machine()
    for (const name of ['tun0', 'tun1', 'veth0', 'veth1']) host.ip(`link set ${name} up`)
    runBatch(
      host,
      `address add 10.5.0.1/24 dev tun0
       address add 10.5.0.2/16 dev tun0
       address add 10.6.0.1/24 dev tun1
       address add 10.6.0.5/32 dev veth0
       route add 30.0.0.0/8 nexthop via 10.5.0.9 nexthop dev tun1
       route add 31.0.0.0/8 via 10.5.0.77
       route add 32.0.0.0/8 dev tun0 table 100 src 10.6.0.5
       route add 33.0.0.0/8 via 10.5.0.77 onlink dev tun0
       route del 10.5.0.0/24
       route del 10.5.0.0/16
       address del 10.6.0.5/32 dev veth0
       link set tun1 down`,
    )
    await settle(host)
    const { stack, configuration, skipped } = read(host)
    expect(skipped.filter(({ path }) => path !== 'sysctl')).to.deep.equal([])
    expectSameTexts(host, stack)
    const again = stackFromJson(configuration)
    expectSameTexts(host, again)
    await again.close()
    await stack.close()
  })

  it('come back to the kernel as a batch', async () => {
    const host = machine()
    for (const name of ['tun0', 'tun1', 'veth0', 'veth1']) host.ip(`link set ${name} up`)
    runBatch(host, SETUP)
    host.ip('link set tun1 down')
    await settle(host)
    const { stack } = read(host)
    const copy = machine()
    runBatch(copy, saveBatch(stack))
    await settle(copy)
    for (const command of ['-4 -d route show table all', 'rule show', 'address show', 'nexthop']) {
      expect(plain(copy.ip(command)), command).to.equal(plain(host.ip(command)))
    }
    await stack.close()
  })

  for (const seed of SEEDS) {
    it(`go into a stack and back after ${COMMANDS} random commands, seed ${seed}`, async () => {
      const generator = new CommandGenerator(new Random(seededRandom(seed)), true, true)
      const commands = ['link set lo up', 'link set tun0 up', 'link set tun1 up']
      commands.push('link set veth0 up', 'link set veth1 up', ...nexthops(seed))
      const enough = commands.length + COMMANDS
      while (commands.length < enough) {
        // What `ip -j` does not print: whether a metric is locked.
        const command = generator.next().replace(' lock ', ' ')
        if (!/^\w+ (show|list|lst|get|g|s|l) /.test(command) || /^l\w* s\w* \w+ up/.test(command))
          commands.push(command)
      }
      const host = machine()
      await host.run(['ip', '-force', '-batch', '-'], { input: `${commands.join('\n')}\n` })
      await settle(host)
      const { stack, skipped } = read(host)
      expect(
        skipped.filter(({ path }) => path !== 'sysctl'),
        host.ip('rule'),
      ).to.deep.equal([])
      expectSameTexts(host, stack)
      const batch = saveBatch(stack)
      const copy = machine()
      runBatch(copy, batch)
      await settle(copy)
      for (const command of ['-4 -d route show table all', 'rule show', 'address show', 'nexthop']) {
        expect(plain(copy.ip(command)), batch).to.equal(plain(host.ip(command)))
      }
      await stack.close()
    })
  }

  it('say what of them no stack has', async () => {
    const host = machine()
    host.sysctl('net.ipv6.conf.veth0.disable_ipv6', 0)
    // Whatever this machine's is: one that a stack has too.
    host.sysctl('net.ipv4.tcp_congestion_control', 'reno')
    for (const name of ['tun0', 'veth0', 'veth1']) host.ip(`link set ${name} up`)
    runBatch(
      host,
      `address add 10.5.0.1/24 dev tun0
       address add 10.7.0.1/24 dev veth0
       nexthop add id 5 blackhole
       nexthop add id 6 via 10.7.0.9 dev veth0
       route add 24.0.0.0/8 nhid 5
       route add 25.0.0.0/8 nhid 6
       route add 26.0.0.0/8 via inet6 fe80::1 dev veth0
       route add 27.0.0.0/8 dev tun0 congctl cubic
       rule add l3mdev priority 9`,
    )
    await settle(host)
    const { stack, skipped } = read(host)
    const reasons = skipped.map(({ path, reason }) => `${path.replace(/\d+/g, 'N')}: ${reason}`)
    expect([...new Set(reasons)].sort()).to.deep.equal([
      'address[N].addr_info[N]: a stack has no IPv6',
      'route[N]: a stack has no IPv6',
      'route[N]: its gateway has an address of another family',
      'rule[N]: a stack has no layer 3 master devices (VRF)',
      'sysctl: a stack has no such settings',
    ])
    const routes = ip(stack, 'route show').stdout
    expect(routes).to.include('blackhole 24.0.0.0/8 nhid 5 dev lo \n')
    expect(routes).to.include('25.0.0.0/8 nhid 6 via 10.7.0.9 dev veth0 \n')
    expect(routes).to.include('27.0.0.0/8 dev tun0 scope link linkdown congctl cubic \n')
    await stack.close()
  })
})
