/** The iperf3 of examples/ and Debian's, each as server and as client of the other: both report the same. */
import { expect } from 'chai'
import { type Namespace, type Process, useTestbed } from './netns.ts'

const STACK = '10.9.0.2'
const KERNEL = '10.9.0.1'

interface Sum {
  bytes: number
  seconds: number
  packets?: number
  lost_packets?: number
  retransmits?: number
}

interface Output {
  intervals: unknown[]
  end: { sum_sent: Sum; sum_received: Sum; streams: unknown[]; sum?: Sum }
  error?: string
}

/** Tests of a second, and what each is to show. */
const TESTS: Readonly<Record<string, { args: string[]; check: (output: Output) => void }>> = {
  'TCP to the server': { args: [], check: (output) => expectTcp(output, 1) },
  'TCP from the server': { args: ['-R'], check: (output) => expectTcp(output, 1) },
  'four TCP streams': { args: ['-P', '4'], check: (output) => expectTcp(output, 4) },
  'four TCP streams from the server': { args: ['-P', '4', '-R'], check: (output) => expectTcp(output, 4) },
  'TCP both ways': { args: ['--bidir'], check: ({ end }) => expect(end.streams).to.have.length(2) },
  'TCP at 20 Mbit/s': {
    args: ['-b', '20M'],
    check: ({ end }) => expect(end.sum_sent.bytes).to.be.within(1_500_000, 3_500_000),
  },
  UDP: { args: ['-u', '-b', '10M'], check: expectUdp },
  'UDP from the server': { args: ['-u', '-b', '10M', '-R'], check: expectUdp },
  'three UDP streams': { args: ['-u', '-b', '3M', '-P', '3'], check: expectUdp },
}

/** What is reported by both ends agrees, but for what was on its way at the end. */
function expectTcp({ end, intervals }: Output, streams: number): void {
  expect(end.streams).to.have.length(streams)
  expect(intervals).to.not.have.length(0)
  const { sum_sent: sent, sum_received: received } = end
  expect(sent.bytes).to.be.above(10_000_000)
  expect(received.bytes).to.be.within(0.5 * sent.bytes, 1.1 * sent.bytes)
}

function expectUdp({ end }: Output): void {
  const { sum_sent, sum_received, sum } = end
  // Real iperf3 gives a sum of both ends only.
  const packets = (sum_received ?? sum)!.packets!
  const lost = (sum_received ?? sum)!.lost_packets!
  expect((sum_sent ?? sum)!.bytes).to.be.within(700_000, 2_500_000)
  expect(packets).to.be.within(500, 1800)
  expect(lost, 'lost').to.be.below(0.1 * packets)
}

describe('iperf3', function () {
  this.timeout(60_000)
  this.slow(20_000)
  const bed = useTestbed()

  const ours = (host: Namespace, args: string[], ready?: RegExp): Promise<Process> =>
    host.startScript('examples/iperf3.ts', args, ready === undefined ? {} : { ready })

  async function output(process: Process): Promise<Output> {
    const { stdout, stderr, status } = await process.finish(20_000)
    expect(status, `${stdout}${stderr}`).to.equal(0)
    return JSON.parse(stdout) as Output
  }

  it('of Debian measures against our server', async () => {
    const host = bed.namespace('host')
    const server = await ours(host, ['-s'], /Server listening/)
    for (const [name, { args, check }] of Object.entries(TESTS)) {
      const { stdout, status, stderr } = await host.run(['iperf3', '-c', STACK, '-t', '1', '-J', ...args])
      expect(status, `${name}: ${stdout}${stderr}`).to.equal(0)
      check(JSON.parse(stdout) as Output)
    }
    expect(server.stderr).to.not.contain('error')
  })

  it('of ours measures against Debian’s server', async () => {
    const host = bed.namespace('host')
    await host.start(['iperf3', '-s', '--forceflush'], { ready: /Server listening/ })
    for (const [name, { args, check }] of Object.entries(TESTS)) {
      const result = await output(await ours(host, ['-c', KERNEL, '-t', '1', '-J', ...args]))
      expect(result.intervals, name).to.not.have.length(0)
      check(result)
    }
  })

  it('ends after as many bytes as it was asked for, and reports them in lines', async () => {
    const host = bed.namespace('host')
    await host.start(['iperf3', '-s', '--forceflush'], { ready: /Server listening/ })
    const client = await ours(host, ['-c', KERNEL, '-n', '10M'])
    const { stdout, status } = await client.finish(20_000)
    expect(status).to.equal(0)
    expect(stdout).to.match(/^\[ {2}1\] +0\.00-\d+\.\d\d +sec +10\.0 MBytes .* sender$/m)
    expect(stdout).to.match(/^\[ {2}1\] .* receiver$/m)
  })

  it('says what is wrong', async () => {
    const host = bed.namespace('host')
    const refused = await (await ours(host, ['-c', KERNEL, '-p', '9'])).finish(20_000)
    expect([refused.status, refused.stderr.trim()]).to.deep.equal([
      1,
      `ECONNREFUSED: connection refused by ${KERNEL}:9`,
    ])
    const both = await (await ours(host, ['-c', KERNEL, '-s'])).finish(20_000)
    expect([both.status, both.stderr.trim()]).to.deep.equal([1, 'say either -s or -c HOST'])
  })

  it('sends by the congestion control that the client asks for', async () => {
    const host = bed.namespace('host')
    await ours(host, ['-s'], /Server listening/)
    for (const congestion of ['reno', 'bbr']) {
      const { stdout } = await host.run(['iperf3', '-c', STACK, '-n', '1M', '-R', '-J', '-C', congestion])
      expect(JSON.parse(stdout).end.sender_tcp_congestion).to.equal(congestion)
    }
  })

  it('refuses a second client while a test is running', async () => {
    const host = bed.namespace('host')
    await ours(host, ['-s'], /Server listening/)
    const first = await host.start(['iperf3', '-c', STACK, '-t', '3', '-J'])
    await new Promise((resolve) => setTimeout(resolve, 1000))
    const second = await host.run(['iperf3', '-c', STACK, '-t', '1'])
    expect(second.stdout + second.stderr).to.match(/server is busy/)
    expect((await first.finish(20_000)).status).to.equal(0)
  })
})
