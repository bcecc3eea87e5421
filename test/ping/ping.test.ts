import { expect } from 'chai'
import fc from 'fast-check'
import {
  type Clock,
  MILLISECOND,
  type PingOptions,
  type PingProbe,
  type PingResult,
} from '../../lib/index.ts'
import { HostBench, PEER, useBench } from '../conformance/harness.ts'
import { type Bytes, decode, echoReply, icmp } from '../conformance/packets.ts'

/** What the other end does with a request: milliseconds until each reply, none if it is lost. */
type Answers = (sequence: number) => readonly number[]

class PingBench extends HostBench {
  /** Echo identifiers that were seen. */
  readonly identifiers = new Set<number>()

  /** The other end replies as told; `change` may spoil a reply. */
  answer(answers: Answers, change: (reply: Bytes) => Bytes = (reply) => reply): void {
    this.tun.onSend = (packet) => {
      const { icmp: message, src, dst } = decode(packet)
      if (message?.type !== 8) return
      const { identifier, sequence, data } = message
      this.identifiers.add(identifier)
      for (const delay of answers(sequence)) {
        const reply = change(echoReply({ src: dst, dst: src, ttl: 61 }, { identifier, sequence, data }))
        this.clock.setTimer(() => this.tun.push(reply), delay * MILLISECOND)
      }
    }
  }

  /** Starts a series and lets time pass until it has ended. */
  async ping(options: PingOptions = {}, milliseconds = 60_000): Promise<PingResult> {
    const result = this.stack.ping(PEER, options)
    this.pass(milliseconds)
    return result
  }
}

describe('stack.ping', () => {
  const bench = useBench(() => new PingBench())

  it('ends with the lines of iputils', async () => {
    const delays = [12, 20, 16]
    bench().answer((sequence) => [delays[sequence - 1]!])
    const { summary, rtt } = await bench().ping({ count: 3, interval: 100 })
    expect(summary).to.equal(
      '--- 10.9.0.1 ping statistics ---\n' +
        '3 packets transmitted, 3 received, 0% packet loss, time 216ms\n' +
        'rtt min/avg/max/mdev = 12.000/16.000/20.000/3.266 ms\n',
    )
    expect(rtt!.mdev).to.be.closeTo(3.266, 0.001)
  })

  it('says what each request gave', async () => {
    bench().answer((sequence) => (sequence === 2 ? [] : [5]))
    const told: PingProbe[] = []
    const { probes } = await bench().ping({
      count: 2,
      interval: 10,
      timeout: 50,
      onProbe: (p) => told.push(p),
    })
    expect(probes).to.deep.equal([
      { sequence: 1, outcome: 'reply', duplicates: 0, from: PEER, ttl: 61, bytes: 64, rtt: 5 },
      { sequence: 2, outcome: 'timeout', duplicates: 0 },
    ])
    expect(told).to.deep.equal(probes)
  })

  it('counts loss', async () => {
    bench().answer((sequence) => (sequence % 3 === 0 ? [1] : []))
    const { summary, loss, rtt } = await bench().ping({ count: 6, interval: 10, timeout: 100 })
    expect(loss).to.be.closeTo(4 / 6, 1e-9)
    expect(summary).to.include('6 packets transmitted, 2 received, 66.6667% packet loss, time 140ms')
    expect(rtt).to.include({ min: 1, max: 1, mdev: 0 })
  })

  it('prints no round-trip times where nothing came back', async () => {
    const { summary, received } = await bench().ping({ count: 1, timeout: 1000 })
    expect(received).to.equal(0)
    expect(summary).to.equal(
      '--- 10.9.0.1 ping statistics ---\n1 packets transmitted, 0 received, 100% packet loss, time 1000ms\n',
    )
  })

  it('counts duplicates, also of a request that is long answered', async () => {
    bench().answer((sequence) => (sequence === 1 ? [1, 2, 25] : [1]))
    const { duplicates, summary, probes } = await bench().ping({ count: 4, interval: 10 })
    expect(duplicates).to.equal(2)
    expect(probes[0]!.duplicates).to.equal(2)
    expect(summary).to.include('4 packets transmitted, 4 received, +2 duplicates, 0% packet loss')
  })

  it('finds damaged data, and data of another length', async () => {
    bench().answer(
      () => [1],
      (reply) => {
        const { icmp: message, src, dst } = decode(reply)
        const { identifier, sequence, data } = message!
        const spoilt = sequence === 1 ? data.with(17, 0xee) : sequence === 2 ? data.slice(0, 20) : data
        return echoReply({ src, dst }, { identifier, sequence, data: spoilt })
      },
    )
    const { damaged, probes, summary } = await bench().ping({ count: 3, interval: 10 })
    expect(damaged).to.equal(2)
    expect(probes.map(({ damagedAt }) => damagedAt)).to.deep.equal([17, 20, undefined])
    expect(summary).to.include('+2 corrupted')
  })

  it('counts errors that come back, and goes on', async () => {
    bench().tun.onSend = (packet) => {
      const error = icmp({ src: '192.0.2.1', dst: '10.9.0.2' }, { type: 3, code: 1 }, packet.slice(0, 28))
      bench().clock.soon(() => bench().tun.push(error))
    }
    const { errors, summary, probes } = await bench().ping({ count: 2, interval: 10 })
    expect(errors).to.equal(2)
    expect(summary).to.include('2 packets transmitted, 0 received, +2 errors, 100% packet loss')
    expect(probes[1]).to.deep.equal({
      sequence: 2,
      outcome: 'error',
      duplicates: 0,
      code: 'EHOSTUNREACH',
      from: '192.0.2.1',
      icmp: { type: 3, code: 1, info: 0 },
    })
  })

  it('counts what could not be sent: no route, too big for DF, broadcast without leave', async () => {
    const { stack } = bench()
    const outcome = async (to: string, options: PingOptions): Promise<string | undefined> => {
      const result = stack.ping(to, { timeout: 10, ...options })
      bench().pass(100)
      return (await result).probes[0]!.code
    }
    expect(await outcome('10.9.0.255', {})).to.equal('EACCES')
    expect(await outcome(PEER, { size: 1473, pathMtuDiscovery: 'do' })).to.equal('EMSGSIZE')
    expect(await outcome(PEER, { source: '192.0.2.1' })).to.equal('ENETUNREACH')
    stack.routes.delete('default')
    expect(await outcome('192.0.2.1', {})).to.equal('ENETUNREACH')
    stack.interface('tun0').down()
    expect(await outcome(PEER, { device: 'tun0' })).to.equal('ENETUNREACH')
  })

  it('sets TTL, TOS, DF, size and source as told', async () => {
    const options = {
      ttl: 7,
      tos: 0x20,
      size: 3,
      source: '10.0.3.1',
      pathMtuDiscovery: 'dont',
      timeout: 1,
    } as const
    void bench().stack.ping(PEER, options)
    bench().settle()
    const [packet] = bench().tun.take().map(decode)
    expect(packet).to.deep.include({ ttl: 7, tos: 0x20, df: false, src: '10.0.3.1', length: 31 })
    bench().pass(2)
  })

  it('ignores replies that belong to nobody, or to another series', async () => {
    bench().answer(() => [])
    const result = bench().stack.ping(PEER, { timeout: 100 })
    bench().settle()
    const [identifier] = bench().identifiers
    const reply = (fields: object): Bytes => echoReply({ src: PEER, dst: '10.9.0.2' }, fields)
    bench().tun.push(reply({ identifier: identifier! ^ 1, sequence: 1 }), reply({ identifier, sequence: 2 }))
    bench().pass(200)
    expect((await result).received).to.equal(0)
  })

  it('two series at once don’t mix', async () => {
    bench().answer((sequence) => [sequence])
    const [a, b] = [
      bench().stack.ping(PEER, { count: 3, interval: 1 }),
      bench().stack.ping(PEER, { count: 2 }),
    ]
    bench().pass(5000)
    expect(bench().identifiers.size).to.equal(2)
    expect([(await a).received, (await b).received]).to.deep.equal([3, 2])
    expect((await a).duplicates + (await b).duplicates).to.equal(0)
  })

  describe('that goes on and on', () => {
    it('keeps the last probes only, and adds up all of them', async () => {
      bench().answer((sequence) => (sequence % 10 === 0 ? [] : [1 + (sequence % 4)]))
      const controller = new AbortController()
      const result = bench().stack.ping(PEER, {
        count: Number.POSITIVE_INFINITY,
        interval: 1,
        timeout: 20,
        keep: 100,
        signal: controller.signal,
      })
      for (let i = 0; i < 30; i++) {
        bench().pass(100)
        bench().tun.take()
      }
      bench().answer(() => [])
      controller.abort()
      const { probes, transmitted, received, rtt } = await result
      expect(transmitted).to.equal(3001)
      expect(probes).to.have.length(100)
      expect(probes.at(-1)!.sequence).to.equal(3001)
      expect(received).to.be.within(2690, 2701)
      expect(rtt).to.include({ min: 1, max: 4 })
      expect(rtt!.avg).to.be.closeTo(2.5, 0.1)
    })

    it('keep 0 keeps none', async () => {
      bench().answer(() => [1])
      const { probes, received, duplicates } = await bench().ping({ count: 5, interval: 2, keep: 0 })
      expect([probes.length, received, duplicates]).to.deep.equal([0, 5, 0])
    })
  })

  describe('that is stopped', () => {
    it('by its signal: gives what was found so far', async () => {
      bench().answer(() => [1])
      const controller = new AbortController()
      const result = bench().stack.ping(PEER, { count: 100, interval: 10, signal: controller.signal })
      bench().pass(35)
      controller.abort()
      const { transmitted, received } = await result
      expect([transmitted, received]).to.deep.equal([4, 4])
      bench().tun.take()
      bench().pass(1000)
      expect(bench().tun.take()).to.deep.equal([])
    })

    it('before it began: rejects with the reason', async () => {
      const reason = new Error('not today')
      let thrown: unknown
      await bench()
        .stack.ping(PEER, { signal: AbortSignal.abort(reason) })
        .catch((error) => (thrown = error))
      expect(thrown).to.equal(reason)
      expect(bench().tun.take()).to.deep.equal([])
    })

    it('from within onProbe, also while it is sending', async () => {
      const controller = new AbortController()
      const seen: number[] = []
      const result = bench().stack.ping('127.0.0.1', {
        count: 10,
        interval: 1,
        signal: controller.signal,
        onProbe: ({ sequence }) => {
          seen.push(sequence)
          if (sequence === 2) controller.abort()
        },
      })
      bench().pass(100)
      expect((await result).transmitted).to.equal(2)
      expect(seen).to.deep.equal([1, 2])
    })

    it('by an onProbe that throws: rejects with that error', async () => {
      bench().answer(() => [1])
      let thrown: unknown
      const done = bench()
        .stack.ping(PEER, {
          count: 5,
          interval: 10,
          onProbe: () => {
            throw new Error('mine')
          },
        })
        .catch((error) => (thrown = error))
      bench().pass(100)
      await done
      expect(thrown).to.have.property('message', 'mine')
      expect(bench().tun.take()).to.have.length(1)
    })

    it('by closing the stack: gives what was found so far', async () => {
      bench().answer((sequence) => (sequence === 1 ? [1] : []))
      const result = bench().stack.ping(PEER, { count: 100, interval: 10 })
      bench().pass(15)
      await bench().stack.close()
      expect(await result).to.include({ transmitted: 2, received: 1 })
      const late = await bench()
        .stack.ping(PEER)
        .catch((error) => error.code)
      expect(late).to.equal('ERR_STACK_CLOSED')
    })
  })

  it('holds the process from beginning to end, and no longer', async () => {
    const held = useHoldingClock()
    const { stack } = held.bench
    const one = stack.ping('127.0.0.1', { count: 2, interval: 5 })
    expect(held.holds()).to.equal(1)
    const two = stack.ping('192.0.2.1', { timeout: 50 })
    expect(held.holds()).to.equal(2)
    held.bench.pass(20)
    await one
    expect(held.holds()).to.equal(1)
    held.bench.pass(100)
    await two
    expect(held.holds()).to.equal(0)
    const three = stack.ping('192.0.2.1', { count: Number.POSITIVE_INFINITY })
    await held.bench.end()
    await three
    expect(held.holds()).to.equal(0)
    await stack.ping('127.0.0.1', { size: -1 }).catch(() => {})
    expect(held.holds()).to.equal(0)
  })

  function useHoldingClock() {
    let holds = 0
    const made = new HostBench()
    const clock: Clock = made.clock
    clock.hold = (waiting) => {
      holds += waiting ? 1 : -1
    }
    return { bench: made, holds: () => holds }
  }

  it('refuses options that make no sense, by name', async () => {
    const wrong: PingOptions[] = [
      { count: 0 },
      { count: 1.5 },
      { interval: -1 },
      { size: 65_508 },
      { size: Number.NaN },
      { timeout: 0 },
      { ttl: 0 },
      { ttl: 256 },
      { tos: 256 },
      { keep: -1 },
      { keep: 65_537 },
      { source: '10.0.0' },
    ]
    for (const options of wrong) {
      const error = await bench()
        .stack.ping(PEER, options)
        .then(
          () => undefined,
          (e: unknown) => e,
        )
      expect(error, JSON.stringify(options)).to.have.property('code', 'ERR_INVALID_ARG_VALUE')
    }
    const code = (address: string, options: PingOptions = {}): Promise<unknown> =>
      bench()
        .stack.ping(address, options)
        .catch((error) => error.code)
    expect(await code('10.9')).to.equal('ERR_INVALID_ARG_VALUE')
    expect(await code(PEER, { device: 'tun9' })).to.equal('ENODEV')
  })

  it('a series over a lossy, slow, doubling, reordering path adds up (property)', async () => {
    const delay = fc.integer({ min: 0, max: 400 })
    const fate = fc.array(delay, { maxLength: 3 })
    await fc.assert(
      fc.asyncProperty(
        fc.array(fate, { minLength: 1, maxLength: 12 }),
        fc.integer({ min: 0, max: 100 }),
        async (fates, interval) => {
          const own = new PingBench()
          const timeout = 250
          own.answer((sequence) => fates[sequence - 1]!)
          const result = await own.ping({ count: fates.length, interval, timeout })
          // The model: a reply counts if it came within the timeout; each further one is a duplicate, as long
          // as the series lasts.
          const firsts = fates.map((delays) => Math.min(...delays))
          const answered = firsts.map((first) => first < timeout)
          const ends = fates.map((_, i) => i * interval + Math.min(firsts[i]!, timeout))
          const end = Math.max(...ends)
          let duplicates = 0
          fates.forEach((delays, i) => {
            if (!answered[i]) return
            const rest = delays.toSorted((a, b) => a - b).slice(1)
            duplicates += rest.filter((each) => i * interval + each < end).length
          })
          expect(result.transmitted).to.equal(fates.length)
          expect(result.received).to.equal(answered.filter(Boolean).length)
          expect(result.probes.map(({ outcome }) => outcome === 'reply')).to.deep.equal(answered)
          result.probes.forEach((probe, i) => {
            if (answered[i]) expect(probe.rtt).to.equal(firsts[i])
          })
          // What comes at the very end may or may not be in time.
          const atEnd = fates.flatMap((delays, i) =>
            delays.filter((each) => i * interval + each === end),
          ).length
          expect(result.duplicates).to.be.within(duplicates, duplicates + atEnd)
          await own.end()
        },
      ),
      { numRuns: 100, seed: 7 },
    )
  })
})
