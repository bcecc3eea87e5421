import { expect } from 'chai'
import { Figures, record } from '../../bench/figure.ts'
import { parseWrk } from '../../bench/http.ts'
import { CASES } from '../../bench/micro/cases.ts'
import { answeringStack } from '../../bench/micro/echoes.ts'
import { parseOptions } from '../../bench/options.ts'
import { parsePing } from '../../bench/ping.ts'
import { number, table } from '../../bench/table.ts'

const FLOOD = `PING 10.77.3.2 (10.77.3.2) 56(84) bytes of data.

--- 10.77.3.2 ping statistics ---
20000 packets transmitted, 19998 received, 0.01% packet loss, time 1520ms
rtt min/avg/max/mdev = 0.008/0.010/1.261/0.013 ms, ipg/ewma 0.015/0.013 ms
`

const PACED = `PING 10.77.3.2 (10.77.3.2) 56(84) bytes of data.
64 bytes from 10.77.3.2: icmp_seq=1 ttl=64 time=0.300 ms
64 bytes from 10.77.3.2: icmp_seq=2 ttl=64 time=0.100 ms
64 bytes from 10.77.3.2: icmp_seq=3 ttl=64 time=0.110 ms

--- 10.77.3.2 ping statistics ---
3 packets transmitted, 3 received, 0% packet loss, time 20ms
rtt min/avg/max/mdev = 0.100/0.170/0.300/0.092 ms
`

describe('the benchmarks', () => {
  it('read what ping prints, in microseconds', () => {
    const flood = parsePing(FLOOD)
    expect(flood).to.include({ sent: 20_000, received: 19_998, duration: 1520, min: 8, avg: 10 })
    expect(flood.p50).to.be.NaN
    expect(parsePing(PACED)).to.include({ sent: 3, received: 3, min: 100, avg: 170, p50: 110 })
    expect(() => parsePing('ping: connect: Network is unreachable')).to.throw(/not the output/)
  })

  it('read what wrk prints, and take nothing for it that failed', () => {
    const output = `Running 2s test @ http://10.0.0.1:8080/
  1 threads and 64 connections
  Latency Distribution
     50%  812.00us
     75%    1.02ms
     90%    1.90ms
     99%    1.15s 
  37000 requests in 2.00s, 9.49MB read
Requests/sec:  18499.12
Transfer/sec:      4.74MB
`
    expect(parseWrk(output)).to.deep.equal({ perSecond: 18499.12, p50: 812, p99: 1_150_000 })
    expect(() => parseWrk(`${output}  Socket errors: connect 0, read 3, write 0, timeout 0`)).to.throw(/wrk/)
    expect(() => parseWrk('unable to connect')).to.throw(/unable/)
  })

  it('print a row per subject, the ratio beside it, and what is no result', () => {
    const figures = new Figures()
    const figure = figures.define('flood', 'packets/s', [
      { subject: 'ours', reference: 'fast', target: { ratio: 0.8, is: 'at least' } },
      { subject: 'ours', reference: 'alike' },
    ])
    for (const [subject, values] of Object.entries({
      fast: [100, 101],
      ours: [50, 52],
      alike: [40, 60],
    })) {
      for (const value of values) record(figure, subject, value)
    }
    const rows = table(figures.all)
      .split('\n')
      .map((line) => line.split('|').map((cell) => cell.trim()))
    expect(rows).to.have.length(2 + 4)
    expect(rows[2]!.slice(1, 5)).to.deep.equal(['flood', 'packets/s', 'fast', '101 [100–101]'])
    expect(rows[3]!.slice(3, 7)).to.deep.equal([
      'ours',
      '51.0 [50.0–52.0]',
      '0.51 [0.50–0.51] of fast',
      'at least 0.8: MISSED',
    ])
    expect(rows[4]!.slice(5, 7)).to.deep.equal(['1.06 [0.87–1.25] of alike', 'no result: below the spread'])
    expect(() => record(figure, 'ours', Number.NaN)).to.throw(RangeError)
  })

  it('print numbers with three digits that count', () => {
    expect([0.123, 12.34, 123.4, 1234567].map((value) => number(value))).to.deep.equal([
      '0.12',
      '12.3',
      '123',
      '1,234,567',
    ])
  })

  it('take their options, and say which they do not know', () => {
    expect(parseOptions([], ['echo'])).to.include({ repeats: 5, quick: false })
    const some = parseOptions(['--only', 'echo', '--quick', '--json', 'x.json'], ['echo', 'micro'])
    expect(some).to.deep.include({ only: ['echo'], repeats: 2, quick: true, json: 'x.json' })
    expect(parseOptions(['--help'], [])).to.equal(null)
    expect(() => parseOptions(['--only', 'speed'], ['echo'])).to.throw(/speed.*echo/)
    expect(() => parseOptions(['--repeats', '0'], [])).to.throw(RangeError)
  })

  it('have echoes answered by the stack in process: as many as asked for', async () => {
    const { stack, echo } = answeringStack()
    await echo(500)
    expect(stack.mib.get('IcmpInEchos')).to.be.within(500, 564)
    expect(stack.mib.get('IcmpOutEchoReps')).to.equal(stack.mib.get('IcmpInEchos'))
    await stack.close()
  })

  for (const name of ['checksum 20', 'byte loop 20', 'parse hot', 'parse cold', 'emit hot', 'emit cold']) {
    it(`time '${name}'`, async () => {
      expect(await CASES[name]!({ milliseconds: 1 })).to.be.within(0.1, 1e7)
    })
  }

  for (const name of ['fib 10', 'maps 10', 'over pipe', 'over loopback']) {
    it(`time '${name}'`, async () => {
      expect(await CASES[name]!({ milliseconds: 1 })).to.be.above(0)
    })
  }
})
