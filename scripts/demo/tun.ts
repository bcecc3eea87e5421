/**
 * The same from outside: the kernel pings the stack through a TUN device. That it is the stack that answers, and
 * nothing else, is shown by what the kernel and the stack count, and by the same ping before and after.
 */
import { type Kernel, type Outcome, Program, pingCounts, pingSummary } from './programs.ts'
import type { Report } from './report.ts'

const PING = 'ping -n -c 5 -i 0.2 -W 1 10.0.3.2'

/** The last object that examples/tun-loopback.ts writes. */
interface End {
  event: string
  counters: Record<string, number>
  interfaces: Record<string, { rxPackets: number; txPackets: number; rxDropped: number; txDropped: number }>
}

export async function showTun(report: Report, kernel: Kernel): Promise<void> {
  report.section(
    'The kernel’s own ping, answered by TypeScript',
    `A TUN device joins the kernel (10.9.0.1) with a stack (10.9.0.2), which has 10.0.3.1/24 on its lo. The
     kernel has a route to that prefix and nothing else there: as long as no program holds the TUN, nobody
     answers. Then examples/tun-loopback.ts runs, and then it is ended.`,
  )
  for (const command of [
    'ip tuntap add dev tun0 mode tun',
    'ip addr add 10.9.0.1/24 dev tun0',
    'ip link set tun0 up',
    'ip route add 10.0.3.0/24 via 10.9.0.2',
  ]) {
    report.command('kernel', command, kernel.must(command))
  }
  report.command('kernel', 'ip route get 10.0.3.2', kernel.must('ip route get 10.0.3.2'))

  await pingInVain(report, kernel, 'before the stack starts')

  const tunBefore = kernel.packets('tun0')
  const program = ['examples/tun-loopback.ts', '--name', 'tun0', '--json']
  const stack = new Program([process.execPath, '--import', 'tsx', ...program])
  await stack.waitFor(/"event":"ready"/, 10_000)
  console.log(`\n  [the stack starts: node --import tsx ${program.join(' ')}]`)
  const ping = await kernel.watch(PING)
  report.command('kernel', PING, ping.stdout)
  const any = await kernel.watch('ping -n -c 1 -W 1 10.0.3.200')
  report.command('kernel', 'ping -n -c 1 -W 1 10.0.3.200', pingSummary(any.stdout))
  const tunAfter = kernel.packets('tun0')
  const outcome = await stack.end()
  console.log('\n  [the stack is ended: SIGTERM]')
  report.equal(outcome.status, 0, 'it ended with status 0')
  const events = parseEvents(outcome)
  report.lines('What it saw, and decided, of the first request:')
  report.lines(
    events
      .filter(({ event }) => event === 'packet')
      .slice(0, 2)
      .map(({ text }) => text)
      .join('\n'),
  )

  await pingInVain(report, kernel, 'after the stack has ended')

  const { counters, interfaces } = events.at(-1) as unknown as End
  const [first, second] = [pingCounts(ping.stdout), pingCounts(any.stdout)]
  const sent = first.sent + second.sent
  const tun = interfaces['tun0']!
  report.section(
    'Who answered?',
    `Every request that the kernel sent must have been read from the TUN by the stack, counted by its ICMP as an
     echo request, and answered; and the kernel itself must have answered none.`,
  )
  report.lines(
    [
      ['', 'sent to the stack', 'sent by the stack'],
      ['ping', sent, first.received + second.received],
      ['kernel, ip -s link show tun0', tunAfter.tx - tunBefore.tx, tunAfter.rx - tunBefore.rx],
      ['stack, ip -s link show tun0', tun.rxPackets, tun.txPackets],
      ['stack, IcmpInEchos, IcmpOutEchoReps', counters['IcmpInEchos'] ?? 0, counters['IcmpOutEchoReps'] ?? 0],
    ]
      .map(([what, a, b]) => `${`${what}`.padEnd(38)}${`${a}`.padStart(18)}${`${b}`.padStart(20)}`)
      .join('\n'),
  )
  report.equal([first.loss, second.loss], [0, 0], '0 % loss')
  report.equal(counters['IcmpInEchos'], sent, 'the stack’s IcmpInEchos are the requests sent')
  report.equal(
    [tunAfter.tx - tunBefore.tx, tunAfter.rx - tunBefore.rx],
    [tun.rxPackets, tun.txPackets],
    'the kernel and the stack count the same on the TUN',
  )
  report.equal([tun.rxPackets, tun.txPackets], [sent, sent], 'and nothing else crossed it')
  const own = kernel.counters()
  report.equal(own['IcmpInEchos'], 0, 'the kernel got no echo request (its IcmpInEchos is 0)')
  report.equal(kernel.packets('lo'), { rx: 0, tx: 0 }, 'nothing crossed the kernel’s lo')
}

/** The same ping while nobody holds the TUN. */
async function pingInVain(report: Report, kernel: Kernel, when: string): Promise<void> {
  const { status, stdout } = await kernel.watch(PING)
  report.command('kernel', `${PING}   (${when})`, pingSummary(stdout))
  const { sent, received, loss } = pingCounts(stdout)
  report.equal([status, sent, received, loss], [1, 5, 0, 100], `${when} the same ping fails completely`)
}

function parseEvents({ stdout, stderr }: Outcome): { event: string; text: string }[] {
  const events = stdout
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as { event: string; text: string })
  if (events.at(-1)?.event !== 'end') throw new Error(`the stack did not end in order:\n${stdout}${stderr}`)
  return events
}
