/** The stack's TCP and the kernel's over a TUN, in both roles and both directions; content is checked by digest. */
import { createHash } from 'node:crypto'
import { expect } from 'chai'
import type { Impairment } from '../../../lib/index.ts'
import { type Namespace, type Process, useTestbed } from '../netns.ts'
import { digestOf } from './bytes.ts'

const HOST = '10.9.0.2'

/** What a bad link does to what the stack sends and receives, and the seed of its chance. */
interface Effects {
  seed: number
  out: Impairment
  in: Impairment
}

describe('TCP with the kernel', function () {
  this.timeout(120_000)
  this.slow(20_000)
  const bed = useTestbed()

  /** @param effects `null` for a TUN with its offloads */
  async function start(host: Namespace, effects: Effects | null = null, ...args: string[]): Promise<Process> {
    host.addTun('tun0', { address: '10.9.0.1/24' })
    const all = ['tun0', `${HOST}/24`, JSON.stringify(effects), ...args]
    return host.startScript('test/integration/tcp/stack-program.ts', all, { ready: /^ready$/m })
  }

  const kernel = (host: Namespace, ...args: (string | number)[]): Promise<string> =>
    host
      .startScript('test/integration/tcp/kernel-program.ts', args.map(String))
      .then((process) => process.finish(100_000))
      .then(({ stdout, stderr, status }) => {
        expect(stderr).to.equal('')
        expect(status).to.equal(0)
        return stdout.trim()
      })

  /** Ends the stack's program, which says what it counted. */
  async function counters(stack: Process): Promise<Record<string, number>> {
    const { status, stdout } = await stack.stop('SIGTERM')
    expect(status).to.equal(0)
    expect(stdout).to.contain('packets left: 0')
    return JSON.parse(/^counters (.*)$/m.exec(stdout)![1]!) as Record<string, number>
  }

  it('serves the kernel: uploads, downloads, echo, with every byte right', async () => {
    const host = bed.namespace('host')
    const stack = await start(host)
    for (const size of [0, 1, 65_536, 10_000_000]) {
      expect(await kernel(host, 'send', HOST, 9, size), `upload of ${size}`).to.equal(digestOf(size))
      expect(await kernel(host, 'fetch', HOST, 19, size), `download of ${size}`).to.equal(digestOf(size))
    }
    expect(await kernel(host, 'echo', HOST, 7, 3_000_000)).to.equal(digestOf(3_000_000))
    const counted = await counters(stack)
    expect(counted).to.include({ TcpPassiveOpens: 9, TcpOutRsts: 0, TcpInErrs: 0, TcpEstabResets: 0 })
    expect(host.nstat()).to.include({ TcpActiveOpens: 9, TcpEstabResets: 0 })
  })

  it('is a client of the kernel', async () => {
    const host = bed.namespace('host')
    await host.startScript('test/integration/tcp/kernel-program.ts', ['serve'], { ready: /^ready$/m })
    const size = 5_000_000
    const stack = await start(
      host,
      null,
      ...['send', '10.9.0.1', '9', String(size), 'fetch', '10.9.0.1', '19', String(size)],
    )
    await stack.waitFor(/^fetched .*\ninfo .*$/m)
    expect(stack.stdout).to.contain(`sent ${size}: ${digestOf(size)}`)
    expect(stack.stdout).to.contain(`fetched ${size}: ${digestOf(size)}`)
    const [info] = [...stack.stdout.matchAll(/^info (.*)$/gm)].map(
      ([, json]) => JSON.parse(json!) as Record<string, number>,
    )
    expect(info).to.include({ bytes_acked: size, options: 7, pmtu: 1500, snd_mss: 1448 })
    expect(await counters(stack)).to.include({ TcpActiveOpens: 2, TcpAttemptFails: 0 })
  })

  it('talks to curl', async () => {
    const host = bed.namespace('host')
    await start(host)
    const { stdout } = await host.run(
      `curl -s -m 20 -o /dev/null -w %{http_code}:%{size_download} http://${HOST}/1000000`,
    )
    expect(stdout).to.equal('200:1000000')
    const refused = await host.run(`curl -s -m 5 http://${HOST}:81/`).catch((error: Error) => error)
    expect(String((refused as { status?: number }).status ?? refused)).to.match(/7/) // connection refused
  })

  it('talks to nc', async () => {
    const host = bed.namespace('host')
    await start(host)
    const sent = await host.run(`nc -N -w 10 ${HOST} 9`, { input: 'the quick brown fox' })
    expect(sent.stdout.trim()).to.equal(createHash('sha256').update('the quick brown fox').digest('hex'))
    const fetched = await host.run(`nc -N -w 10 ${HOST} 19`, { input: '100000\n' })
    expect(fetched.stdout.length).to.be.above(50_000) // bytes that are no text are lost in reading it
  })

  it('moves a gibibyte each way', async () => {
    const host = bed.namespace('host')
    await start(host)
    const size = 1 << 30
    const digest = digestOf(size)
    expect(await kernel(host, 'send', HOST, 9, size)).to.equal(digest)
    expect(await kernel(host, 'fetch', HOST, 19, size)).to.equal(digest)
  })

  it('moves 256 MiB each way, packet by packet through the decorator', async () => {
    const host = bed.namespace('host')
    await start(host, { seed: 1, out: {}, in: {} })
    const size = 1 << 28
    const digest = digestOf(size)
    expect(await kernel(host, 'send', HOST, 9, size)).to.equal(digest)
    expect(await kernel(host, 'fetch', HOST, 19, size)).to.equal(digest)
  })

  const bad: Record<string, [Impairment, number]> = {
    'a delay of 20 ms': [{ delay: '20ms' }, 8 << 20],
    '0.1 % loss': [{ delay: '1ms', loss: 0.001 }, 8 << 20],
    '1 % loss': [{ delay: '1ms', loss: 0.01 }, 4 << 20],
    '3 % loss': [{ delay: '1ms', loss: 0.03 }, 4 << 20],
    '5 % loss': [{ delay: '1ms', loss: 0.05 }, 2 << 20],
    'loss in bursts': [{ delay: '1ms', loss: { enter: 0.002, recover: 0.3 } }, 2 << 20],
    reordering: [{ delay: '2ms', reorder: 0.05 }, 4 << 20],
    duplication: [{ delay: '1ms', duplicate: 0.1 }, 4 << 20],
    corruption: [{ delay: '1ms', corrupt: 0.01 }, 2 << 20],
    'jitter and a narrow link': [{ delay: '5ms', jitter: '4ms', rate: '100mbit', queue: 50 }, 4 << 20],
    'all of it': [
      { delay: '1ms', jitter: '500us', loss: 0.02, reorder: 0.02, duplicate: 0.02, corrupt: 0.002 },
      1 << 20,
    ],
  }
  for (const [name, [effects, size]] of Object.entries(bad)) {
    it(`gets every byte through, in both roles and directions, with ${name} both ways (hardening-21)`, async () => {
      const host = bed.namespace('host')
      await host.startScript('test/integration/tcp/kernel-program.ts', ['serve'], { ready: /^ready$/m })
      const seed = Number(process.env['TCP_INTEROP_SEED'] ?? 20261126)
      const hint = `replay with TCP_INTEROP_SEED=${seed}`
      const small = 65_536
      const stack = await start(
        host,
        { seed, out: effects, in: effects },
        ...[size, small].flatMap((bytes) => [
          ...['send', '10.9.0.1', '9', String(bytes)],
          ...['fetch', '10.9.0.1', '19', String(bytes)],
        ]),
      )
      const digests = await Promise.all([
        kernel(host, 'send', HOST, 9, size),
        kernel(host, 'fetch', HOST, 19, size),
        kernel(host, 'send', HOST, 9, small),
        kernel(host, 'fetch', HOST, 19, small),
      ])
      expect(digests, hint).to.deep.equal([size, size, small, small].map(digestOf))
      await stack.waitFor(new RegExp(`^fetched ${small}: .*\ninfo .*$`, 'm'), 100_000)
      for (const bytes of [size, small]) {
        expect(stack.stdout, hint).to.contain(`sent ${bytes}: ${digestOf(bytes)}`)
        expect(stack.stdout, hint).to.contain(`fetched ${bytes}: ${digestOf(bytes)}`)
      }
      const { stdout, stderr, status } = await stack.stop('SIGTERM')
      expect([status, stderr, stdout.slice(stdout.lastIndexOf('packets left'))], hint).to.deep.equal([
        0,
        '',
        'packets left: 0\n',
      ])
    })
  }
})
