/** The testbed itself: what it makes works, what fails says why, and nothing outlives it. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { expect } from 'chai'
import { type Namespace, parsePing, removeStaleNamespaces, Testbed, useTestbed } from '../netns.ts'
import { pcapPackets } from './capture.ts'

const PROGRAM = fileURLToPath(new URL('./hold-namespace.ts', import.meta.url))

function pair(bed: Testbed): [Namespace, Namespace] {
  const [a, b] = [bed.namespace('a'), bed.namespace('b')]
  bed.veth(
    { namespace: a, device: 'eth0', address: '10.0.0.1/24' },
    { namespace: b, device: 'eth0', address: '10.0.0.2/24' },
  )
  return [a, b]
}

async function rejection(promise: Promise<unknown>): Promise<string> {
  const error = await promise.then(
    () => undefined,
    (reason: Error) => reason,
  )
  expect(error).to.be.an('error')
  return error!.message
}

describe('testbed', () => {
  const bed = useTestbed()

  it('joins namespaces by veth: ping, counters and a capture agree', async () => {
    const [a, b] = pair(bed)
    const capture = await b.capture('eth0', 'icmp')
    const { stdout, status } = await a.run('ping -c 3 -i 0.2 10.0.0.2')
    expect(status).to.equal(0)
    const summary = parsePing(stdout)
    expect(summary).to.include({
      transmitted: 3,
      received: 3,
      loss: 0,
      duplicates: 0,
      errors: 0,
      corrupted: 0,
    })
    expect(summary.rtt!.min).to.be.greaterThan(0)
    expect(b.nstat()).to.include({ IcmpInEchos: 3, IcmpOutEchoReps: 3 })
    const packets = await capture.stop()
    expect(packets).to.have.length(6)
    expect(packets.map((packet) => packet[20])).to.deep.equal([8, 0, 8, 0, 8, 0])
    expect(capture.lines()[0]).to.match(
      /^IP 10\.0\.0\.1 > 10\.0\.0\.2: ICMP echo request, id \d+, seq 1, length 64$/,
    )
  })

  it('has no IPv6, so that nothing but the test is on the wire', async () => {
    const [a] = pair(bed)
    expect(a.ip('-6 addr show dev eth0')).to.equal('')
  })

  it('makes a TUN device that persists', () => {
    const host = bed.namespace('host')
    host.addTun('tun0', { address: ['10.9.0.1/24', '10.8.0.1/32'], mtu: 1400 })
    expect(host.ip('link show tun0')).to.match(/mtu 1400/)
    expect(host.ip('-o addr show dev tun0').match(/inet [\d./]+/g)).to.deep.equal([
      'inet 10.9.0.1/24',
      'inet 10.8.0.1/32',
    ])
  })

  it('reads and writes sysctls of the namespace alone', () => {
    const [a, b] = pair(bed)
    expect(a.sysctl('net.ipv4.ip_forward', 1)).to.equal('1')
    expect(b.sysctl('net.ipv4.ip_forward')).to.equal('0')
    expect(a.sysctl('net.ipv4.conf.eth0.rp_filter', 2)).to.equal('2')
    expect(() => a.sysctl('net.ipv4.no_such_thing')).to.throw(/no_such_thing/)
  })

  it('says what a wrong ip command was answered', () => {
    const host = bed.namespace('host')
    expect(() => host.ip('route add default via 10.0.0.1')).to.throw(
      /route add default.*Nexthop has invalid gateway/s,
    )
  })

  it('kills what takes too long, and says what it had written', async () => {
    const host = bed.namespace('host')
    const started = Date.now()
    const message = await rejection(host.run(['sh', '-c', 'echo begun; sleep 60'], { timeout: 300 }))
    expect(message).to.match(/did not end within 300 ms.*begun/s)
    expect(Date.now() - started).to.be.lessThan(3000)
    expect(host.processes[0]!.alive).to.equal(false)
  })

  it('waits for a program to be ready, and says why one never is', async () => {
    const host = bed.namespace('host')
    const cat = await host.start(['sh', '-c', 'sleep 0.2; echo ready on 7; cat'], { ready: /ready on (\d)/ })
    cat.write('more\n')
    expect((await cat.waitFor(/more/))[0]).to.equal('more')
    expect(
      await rejection(host.start(['sh', '-c', 'echo no luck >&2; exit 3'], { ready: /ready/ })),
    ).to.match(/exit status 3.*no luck/s)
    expect(await rejection(host.start('sleep 60', { ready: /ready/, timeout: 100 }))).to.match(
      /took more than 100 ms/,
    )
  })

  it('ends the programs and removes the namespaces when it is undone', async () => {
    const own = new Testbed()
    const host = own.namespace('host')
    const stubborn = await host.start(['sh', '-c', 'trap "" TERM; echo up; sleep 60 & wait; sleep 60'], {
      ready: /up/,
    })
    stubborn.stop('SIGTERM', 200)
    await own.undo()
    expect(existsSync(`/run/netns/${host.name}`)).to.equal(false)
    expect(existsSync(`/proc/${stubborn.pid}`)).to.equal(false)
  })

  describe('when the test run itself ends', () => {
    let run: ChildProcess
    let name: string
    let pid: number

    beforeEach(async () => {
      run = spawn(process.execPath, ['--import', 'tsx', PROGRAM], { stdio: ['ignore', 'pipe', 'inherit'] })
      const [line] = (await once(run.stdout!.setEncoding('utf8'), 'data')) as [string]
      name = line.split(' ')[0]!
      pid = Number(line.split(' ')[1])
      expect(existsSync(`/run/netns/${name}`)).to.equal(true)
    })

    /** A process that has ended but that nobody has waited for yet counts as gone. */
    async function gone(): Promise<boolean> {
      for (let i = 0; i < 100; i++) {
        if (!existsSync(`/proc/${pid}`) || /^State:\tZ/m.test(readFileSync(`/proc/${pid}/status`, 'utf8')))
          return true
        await sleep(20)
      }
      return false
    }

    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
      it(`by ${signal}, it takes everything along`, async () => {
        run.kill(signal)
        await once(run, 'exit')
        expect(existsSync(`/run/netns/${name}`)).to.equal(false)
        expect(await gone()).to.equal(true)
      })
    }

    it('by SIGKILL, its programs die with it and the next run removes the namespace', async () => {
      run.kill('SIGKILL')
      await once(run, 'exit')
      expect(await gone()).to.equal(true)
      expect(removeStaleNamespaces()).to.include(name)
      expect(existsSync(`/run/netns/${name}`)).to.equal(false)
    })
  })
})

describe('parsePing', () => {
  it('reads duplicates, corruption, errors and loss', () => {
    const text = `--- 10.0.0.2 ping statistics ---
4 packets transmitted, 3 received, +2 duplicates, +1 corrupted, +5 errors, 25% packet loss, time 3004ms
rtt min/avg/max/mdev = 0.020/0.031/0.043/0.009 ms`
    expect(parsePing(text)).to.deep.equal({
      transmitted: 4,
      received: 3,
      duplicates: 2,
      corrupted: 1,
      errors: 5,
      loss: 25,
      rtt: { min: 0.02, avg: 0.031, max: 0.043, mdev: 0.009 },
    })
  })

  it('throws what is no output of ping back at the caller', () => {
    expect(() => parsePing('ping: connect: Network is unreachable')).to.throw(/Network is unreachable/)
  })
})

describe('pcapPackets', () => {
  /** A pcap file of one link type with these records. */
  function file(linkType: number, ...records: number[][]): Uint8Array {
    const bytes = [0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, linkType, 0, 0, 0]
    for (const record of records) {
      bytes.push(1, 0, 0, 0, 2, 0, 0, 0, record.length, 0, 0, 0, record.length, 0, 0, 0, ...record)
    }
    return Uint8Array.from(bytes)
  }
  const ethernet = [1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 8, 0]

  it('gives the packets of TUN and Ethernet devices from their IP header on', () => {
    expect(pcapPackets(file(101, [0x45, 1], [0x46])).map((packet) => [...packet])).to.deep.equal([
      [0x45, 1],
      [0x46],
    ])
    expect(pcapPackets(file(1, [...ethernet, 0x45])).map((packet) => [...packet])).to.deep.equal([[0x45]])
  })

  it('leaves out what is only half written', () => {
    const whole = file(101, [0x45, 1], [0x46, 2])
    expect(pcapPackets(whole.subarray(0, -1))).to.have.length(1)
    expect(pcapPackets(whole.subarray(0, 10))).to.have.length(0)
  })

  it('refuses link types that it does not know', () => {
    expect(() => pcapPackets(file(113, []))).to.throw(/link type 113/)
  })
})
