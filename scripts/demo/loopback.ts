/**
 * The loopback scenario (docs/loopback.md), run in a stack without any device of the kernel. What can be compared
 * is compared: each `ip` command is given to the stack and to the kernel, in a namespace made for it, and both
 * must print the same bytes.
 */
import { createPipe, formatIpv4Packet, ip, Stack } from '../../lib/index.ts'
import { type Kernel, pingCounts, pingSummary } from './programs.ts'
import type { Report } from './report.ts'

/** What the two pings of a section change. */
const COUNTERS = [
  'IpInReceives',
  'IpInDelivers',
  'IpOutRequests',
  'IpForwDatagrams',
  'IcmpInEchos',
  'IcmpInEchoReps',
  'IcmpOutEchos',
  'IcmpOutEchoReps',
]

type Counts = Record<string, number>

/** The stack and the kernel, given the same commands. */
class Pair {
  readonly stack: Stack
  readonly kernel: Kernel
  readonly #report: Report

  constructor(stack: Stack, kernel: Kernel, report: Report) {
    this.stack = stack
    this.kernel = kernel
    this.#report = report
  }

  /** A command that changes something. */
  apply(command: string): void {
    const { stderr, status } = ip(this.stack, command)
    this.#report.command('stack', `ip ${command}`, stderr)
    if (status !== 0) throw new Error(`'ip ${command}' failed in the stack: ${stderr}`)
    this.kernel.must(`ip ${command}`)
  }

  /** A command that shows something. */
  show(command: string): string {
    const { stdout, status } = ip(this.stack, command)
    const kernel = this.kernel.run(`ip ${command}`)
    this.#report.command('stack', `ip ${command}`, stdout)
    this.#report.equal(
      [status, stdout],
      [kernel.status, kernel.stdout],
      `ip ${command}: the kernel’s prints the same bytes`,
    )
    return stdout
  }

  /** Pings twice on both; gives what the counters rose by. */
  async ping(address: string): Promise<{ received: number; stack: Counts; kernel: Counts }> {
    const [stackBefore, kernelBefore] = [this.stack.mib.snapshot(), this.kernel.counters()]
    const [ours, theirs] = await Promise.all([
      this.stack.ping(address, { count: 2, interval: 200, timeout: 1000 }),
      this.kernel.watch(`ping -n -c 2 -i 0.2 -W 1 ${address}`),
    ])
    this.#report.command('stack', `ping -c 2 ${address}`, ours.summary)
    this.#report.command('kernel', `ping -c 2 ${address}`, pingSummary(theirs.stdout))
    this.#report.equal(ours.received, pingCounts(theirs.stdout).received, 'both got as many replies')
    return {
      received: ours.received,
      stack: rise(stackBefore, this.stack.mib.snapshot()),
      kernel: rise(kernelBefore, this.kernel.counters()),
    }
  }
}

function rise(before: Readonly<Counts>, after: Readonly<Counts>): Counts {
  return Object.fromEntries(COUNTERS.map((name) => [name, after[name]! - before[name]!]))
}

const counts = (values: Counts): string =>
  Object.entries(values)
    .map(([name, count]) => `${name} ${count}`)
    .join(', ')

export async function showLoopback(report: Report, kernel: Kernel): Promise<void> {
  await using stack = new Stack()
  const pair = new Pair(stack, kernel, report)
  showTables(report, pair)
  await showLocalDelivery(report, pair)
  await showDefaultRoute(report, pair)
  await showWire(report, stack)
}

function showTables(report: Report, pair: Pair): void {
  report.section(
    'An address on lo makes a whole prefix local',
    `A stack, and a network namespace of the kernel, both with nothing but lo. The same commands go to both.
     Beside the address itself Linux enters its *prefix* into table local; for any other device that would
     be an entry of table main, saying "on this link".`,
  )
  pair.apply('addr add 10.0.3.110/24 dev lo label lo:0')
  pair.show('addr show dev lo')

  const command = 'route show table local'
  const [ours, theirs] = [ip(pair.stack, command).stdout, pair.kernel.must(`ip ${command}`)]
  report.command('both', `ip ${command}`, '')
  report.sideBySide(`stack:\n${ours}`, `kernel:\n${theirs}`)
  report.equal(ours, theirs, 'table local of the stack is the kernel’s, byte for byte')
  report.equal(pair.show('route show'), '', 'table main is empty')
}

async function showLocalDelivery(report: Report, pair: Pair): Promise<void> {
  report.section(
    'ping 10.0.3.2 is answered, although no host has that address',
    `The destination matches "local 10.0.3.0/24 dev lo": the packet leaves by lo, which puts it on its own
     receive queue, and is delivered. ICMP answers from 10.0.3.2, by lo again.`,
  )
  pair.show('route get 10.0.3.2')
  pair.show('route get 10.0.3.255')
  const { received, stack, kernel } = await pair.ping('10.0.3.2')
  report.equal(received, 2, 'two requests, two replies')
  report.command('stack', 'nstat', counts(stack))
  report.equal(counts(stack), counts(kernel), 'the kernel counted the same')
  pair.show('-s link show dev lo')
  report.lines('Two pings: four packets out, the same four in.')
  report.command('stack', "explain('10.0.3.2')", pair.stack.explain('10.0.3.2').text)
}

async function showDefaultRoute(report: Report, pair: Pair): Promise<void> {
  report.section(
    'A default route through lo leads nowhere but back',
    `"default via 10.0.3.2 dev lo": the gateway is local itself and plays no part. What this host sends
     to any address comes back in and is delivered here. Only the answer fails: it would have to come from
     203.0.113.9, which is no address of this host.`,
  )
  pair.apply('route add default via 10.0.3.2 dev lo')
  pair.show('route show')
  pair.show('route get 203.0.113.9')
  const { received, stack, kernel } = await pair.ping('203.0.113.9')
  report.equal(received, 0, 'no reply')
  report.command('stack', 'nstat', counts(stack))
  report.equal(counts(stack), counts(kernel), 'the kernel counted the same')
  report.equal(
    [stack['IpInDelivers'], stack['IcmpInEchos'], stack['IcmpOutEchoReps']],
    [2, 2, 0],
    'both requests were delivered to this host (IpInDelivers 2, IcmpInEchos 2), none answered (IcmpOutEchoReps 0)',
  )
  report.command('stack', "explain('203.0.113.9')", pair.stack.explain('203.0.113.9').text)
}

async function showWire(report: Report, stack: Stack): Promise<void> {
  report.section(
    'A capture on enp0s3 sees nothing, one on lo everything',
    `Now the stack gets the network card of the story: enp0s3 with 192.168.10.110/24, a pipe to a second
     stack, 192.168.10.1. Captures run on both devices.`,
  )
  await using neighbour = new Stack()
  const [card, other] = createPipe({ names: ['enp0s3', 'eth0'] })
  stack.addDevice(card).addAddress('192.168.10.110/24')
  neighbour.addDevice(other).addAddress('192.168.10.1/24')
  neighbour.routes.add('default via 192.168.10.110')
  stack.sysctlSet('net.ipv4.ip_forward', 1)

  const seen: Record<string, string[]> = { lo: [], enp0s3: [] }
  const capture = stack.capture({
    listener: ({ device, bytes }) => seen[device]!.push(formatIpv4Packet(bytes, 0, bytes.length)),
  })
  await stack.ping('10.0.3.2', { count: 2, interval: 50, timeout: 1000 })
  await stack.ping('203.0.113.9', { count: 1, timeout: 200 })
  report.command('stack', 'tcpdump -i lo', seen['lo']!.join('\n'))
  report.command('stack', 'tcpdump -i enp0s3', seen['enp0s3']!.join('\n'))
  report.equal([seen['lo']!.length, seen['enp0s3']!.length], [5, 0], 'lo: 5 packets, enp0s3: none')
  await stack.ping('192.168.10.1', { count: 1, timeout: 1000 })
  report.equal(seen['enp0s3']!.length, 2, 'a ping to 192.168.10.1, however, crosses enp0s3')
  capture.close()

  report.section(
    'A packet that is forwarded to lo goes round until its TTL is spent',
    `192.168.10.1 sends to 203.0.113.9 through this host, with TTL 64. The default route says lo; the packet
     comes back in with the decision to forward it, which holds again, and again.`,
  )
  const before = stack.mib.snapshot()
  const loBefore = stack.loopback.stats
  const { probes } = await neighbour.ping('203.0.113.9', { ttl: 64, timeout: 2000 })
  const { from, icmp } = probes[0]!
  const lo = stack.loopback.stats
  const rose = (name: string): number => stack.mib.get(name) - before[name]!
  const found = {
    IpForwDatagrams: rose('IpForwDatagrams'),
    IpInHdrErrors: rose('IpInHdrErrors'),
    IcmpOutTimeExcds: rose('IcmpOutTimeExcds'),
    loSent: lo.txPackets - loBefore.txPackets,
    loReceived: lo.rxPackets - loBefore.rxPackets,
  }
  report.command('stack', 'nstat; ip -s link show dev lo', counts(found))
  report.equal(
    found,
    { IpForwDatagrams: 63, IpInHdrErrors: 1, IcmpOutTimeExcds: 1, loSent: 63, loReceived: 63 },
    'forwarded 63 times, 63 packets each way on lo, and once too old',
  )
  report.command(
    'neighbour',
    'ping -c 1 -t 64 203.0.113.9',
    `From ${from}: ICMP type ${icmp?.type} code ${icmp?.code}, Time to live exceeded`,
  )
  report.equal([from, icmp?.type, icmp?.code], ['192.168.10.110', 11, 0], 'the sender is told: Time Exceeded')
}
