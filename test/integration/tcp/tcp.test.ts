/** The stack's TCP and the kernel's over a TUN, in both roles and both directions; content is checked by digest. */
import { createHash } from 'node:crypto'
import { expect } from 'chai'
import type { Impairment } from '../../tcp/impaired.ts'
import { type Namespace, type Process, useTestbed } from '../netns.ts'
import { digestOf } from './bytes.ts'

const HOST = '10.9.0.2'

describe('TCP with the kernel', function () {
  this.timeout(120_000)
  this.slow(20_000)
  const bed = useTestbed()

  async function start(host: Namespace, impairment: Impairment = {}, ...args: string[]): Promise<Process> {
    host.addTun('tun0', { address: '10.9.0.1/24' })
    const all = ['tun0', `${HOST}/24`, JSON.stringify(impairment), ...args]
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
      {},
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

  const impairments: [string, Impairment][] = [
    ['1 % loss both ways', { delay: 2, loss: 0.01, lossIn: 0.01 }],
    ['5 % loss both ways', { delay: 1, loss: 0.05, lossIn: 0.05 }],
    ['reordering and duplication', { delay: 2, reorder: 0.2, extra: 5, duplicate: 0.05 }],
  ]
  for (const [name, impairment] of impairments) {
    it(`gets every byte through with ${name}`, async () => {
      const host = bed.namespace('host')
      const stack = await start(host, impairment)
      const size = 1_000_000
      expect(await kernel(host, 'send', HOST, 9, size)).to.equal(digestOf(size))
      expect(await kernel(host, 'fetch', HOST, 19, size)).to.equal(digestOf(size))
      const { stdout } = await stack.stop('SIGTERM')
      expect(stdout).to.contain('packets left: 0')
    })
  }
})
