import { expect } from 'chai'
import * as fc from 'fast-check'
import { type Ipv4Address, parseIpv4, readIpv4 } from '../../lib/address/ipv4-address.ts'
import { IpOptions, type OptionsHost } from '../../lib/ipv4/options.ts'
import { compileOptions, compileSentOptions, restoreOptions } from '../../lib/ipv4/options-compile.ts'
import { forwardOptions, fragmentOptions } from '../../lib/ipv4/options-forward.ts'
import { buildOptions, echoOptions } from '../../lib/ipv4/options-reply.ts'
import { followSourceRoute, SourceRouteHop } from '../../lib/ipv4/source-route.ts'
import { checksum } from '../../lib/wire/checksum.ts'
import { IPV4_DESTINATION, IPV4_MIN_HEADER } from '../../lib/wire/ipv4.ts'
import { type KernelAnswer, kernelOptions } from './kernel-options.ts'

/** In the bytes from the kernel all times of day begin so; the rest is masked out. */
const TIME = 0x00b70000
const maskTimes = (hex: string) => hex.replaceAll(/00b7[0-9a-f]{4}/g, '00b70000')

const toHex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')
const fromHex = (hex: string) => Uint8Array.from(Buffer.from(hex, 'hex'))

class TestHost implements OptionsHost {
  readonly addresses: readonly Ipv4Address[]
  specific: Ipv4Address = 0

  constructor(...addresses: string[]) {
    this.addresses = addresses.map(parseIpv4)
    this.specific = this.addresses[0]!
  }

  specificDestination(): Ipv4Address {
    return this.specific
  }

  isForeignUnicast(address: Ipv4Address): boolean {
    return !this.addresses.includes(address) && address !== 0 && address >>> 28 < 14
  }

  millisecondsOfDay(): number {
    return TIME
  }
}

const sender = '10.0.0.1'
const router = () => new TestHost('10.0.0.9', '10.0.3.9')
const farHost = () => new TestHost('10.0.3.2')

/** A header with these options, as they may lie in a packet: not at 0, and with something around. */
const START = 6
function header(options: string, source: string, destination: string): Uint8Array {
  const length = IPV4_MIN_HEADER + options.length / 2
  const bytes = new Uint8Array(START + length + 4).fill(0xee)
  bytes.set(fromHex(`4000000000000000401100000000000000000000${options}`), START)
  bytes[START] = 0x40 | (length >> 2)
  const view = new DataView(bytes.buffer, START)
  view.setInt32(12, parseIpv4(source))
  view.setInt32(16, parseIpv4(destination))
  view.setUint16(10, checksum(bytes, START, START + length))
  return bytes
}
const headerLength = (bytes: Uint8Array) => (bytes[START]! & 15) * 4
const optionsOf = (bytes: Uint8Array) =>
  toHex(bytes.subarray(START + IPV4_MIN_HEADER, START + headerLength(bytes)))
const headerSum = (bytes: Uint8Array) => checksum(bytes, START, START + headerLength(bytes))

/** What a host answers to a packet that is for it. */
function answer(host: TestHost, sent: string, from: string, to: string): KernelAnswer {
  const bytes = header(sent, from, to)
  const options = new IpOptions()
  const reply = new IpOptions()
  host.specific = parseIpv4(to)
  const pointer = compileOptions(options, bytes, START, headerLength(bytes), host)
  if (options.sourceRoute !== 0 && pointer === 0) return {}
  const echo = () => {
    if (!echoOptions(reply, options, bytes, START, host)) return undefined
    const answer = header('00'.repeat(reply.length), to, from)
    buildOptions(reply, answer, START, parseIpv4(to), parseIpv4(from), host)
    return optionsOf(answer)
  }
  const built = echo()
  if (built === undefined) return {}
  const quoted = optionsOf(bytes)
  return pointer === 0 ? { reply: built, error: built, quoted } : { pointer, error: built, quoted }
}

function forward(host: TestHost, sent: string, from: string, to: string, near: string, outgoing: string) {
  const bytes = header(sent, from, to)
  const options = new IpOptions()
  host.specific = parseIpv4(near)
  const pointer = compileOptions(options, bytes, START, headerLength(bytes), host)
  if (pointer !== 0 || options.sourceRoute !== 0) return undefined
  forwardOptions(options, bytes, START, parseIpv4(outgoing))
  expect(headerSum(bytes), 'header checksum').to.equal(0)
  return optionsOf(bytes)
}

const masked = (answer: KernelAnswer): KernelAnswer =>
  Object.fromEntries(
    Object.entries(answer).map(([key, v]) => [key, typeof v === 'string' ? maskTimes(v) : v]),
  )

describe('ipv4/options', () => {
  describe('as Linux does (ip-opt-nop, ip-opt-unknown, ip-opt-eol-garbage, ip-opt-rr, ip-opt-ts)', () => {
    for (const { name, sent, near } of kernelOptions) {
      it(`${name}: answer of the host it is for`, () => {
        expect(masked(answer(router(), sent, sender, '10.0.0.9'))).to.deep.equal(masked(near))
      })
    }
  })

  describe('as Linux does (fwd-opt-keep, fwd-opt-rr, fwd-ts-opt, fwd-opt-badlen)', () => {
    for (const { name, sent, forwarded } of kernelOptions) {
      it(`${name}: ${forwarded === undefined ? 'not forwarded' : 'forwarded'}`, () => {
        const got = forward(router(), sent, sender, '10.0.3.2', '10.0.0.9', '10.0.3.9')
        expect(got && maskTimes(got)).to.equal(forwarded && maskTimes(forwarded))
      })
    }
    for (const { name, forwarded, far, back } of kernelOptions) {
      if (forwarded === undefined || far === undefined) continue
      it(`${name}: answer of the host behind the router`, () => {
        expect(masked(answer(farHost(), forwarded, sender, '10.0.3.2'))).to.deep.equal(masked(far))
      })
      if (far.reply === undefined || back === undefined) continue
      it(`${name}: that answer on its way back`, () => {
        const got = forward(router(), far.reply!, '10.0.3.2', sender, '10.0.3.9', '10.0.0.9')
        expect(maskTimes(got!)).to.equal(maskTimes(back))
      })
    }
  })

  it('icmp-quote-options: restoring gives the header as it was received', () => {
    for (const { sent } of kernelOptions) {
      const bytes = header(sent, sender, '10.0.0.9')
      const before = toHex(bytes)
      const options = new IpOptions()
      compileOptions(options, bytes, START, headerLength(bytes), router())
      restoreOptions(options, bytes, START)
      expect(toHex(bytes)).to.equal(before)
    }
  })

  it('records router alert, and only with value 0', () => {
    const options = new IpOptions()
    for (const [sent, offset] of [
      ['0101010194040000', 24],
      ['0101010194040001', 0],
    ] as const) {
      const bytes = header(sent, sender, '10.0.0.9')
      expect(compileOptions(options, bytes, START, headerLength(bytes), router())).to.equal(0)
      expect(options.routerAlert).to.equal(offset)
    }
  })

  describe('source routes', () => {
    const hops = (...addresses: string[]) =>
      addresses.map((a) => toHex(fromHex((parseIpv4(a) >>> 0).toString(16).padStart(8, '0')))).join('')
    const compiled = (sent: string, destination = '10.0.0.9') => {
      const bytes = header(sent, sender, destination)
      const options = new IpOptions()
      expect(compileOptions(options, bytes, START, headerLength(bytes), router())).to.equal(0)
      return { bytes, options }
    }

    it('goes on to the next hop, recording the outgoing address', () => {
      const { bytes, options } = compiled(`830b04${hops('10.0.3.2', '10.9.9.9')}00`)
      const asked: Ipv4Address[] = []
      const verdict = followSourceRoute(options, bytes, START, SourceRouteHop.LOCAL, (hop) => {
        asked.push(hop)
        return SourceRouteHop.UNICAST
      })
      expect(verdict).to.equal(0)
      expect(asked).to.deep.equal([parseIpv4('10.0.3.2')])
      expect(options.sourceRouteHit).to.equal(true)
      forwardOptions(options, bytes, START, parseIpv4('10.0.3.9'))
      expect(optionsOf(bytes)).to.equal(`830b08${hops('10.0.3.9', '10.9.9.9')}00`)
      expect(readIpv4(bytes, START + IPV4_DESTINATION)).to.equal(parseIpv4('10.0.3.2'))
      expect(headerSum(bytes)).to.equal(0)
    })

    // Captured like kernel-options.ts, with accept_source_route = 1 on the router and on 10.0.3.2.
    for (const [name, sent, forwarded, reply] of [
      ['loose', '8307040a00030200', '8307080a00030900', '8307040a00000100'],
      ['strict', '8907040a00030200', '8907080a00030900', '8907040a00000100'],
      ['over an own hop', '830b040a0003090a00030200', '830b0c0a0003090a00030900', '830b040a0003090a00000100'],
      ['second hop', '830b080a0000010a00030200', '830b0c0a0000010a00030900', '8307040a00000100'],
      [
        'with record route and timestamps',
        `070b0400000000000000008307040a0003024414050100000000${'00'.repeat(14)}`,
        `070b080a000309000000008307080a0003094414 0d010a00030900b70000${'00'.repeat(10)}`.replace(' ', ''),
        '070b0c0a0003090a000302441415010a00030900b700000a00030200b700008307040a0000010000',
      ],
    ] as const) {
      it(`as Linux does: ${name}`, () => {
        const { bytes, options } = compiled(sent)
        const own = parseIpv4('10.0.3.9')
        const route = (hop: Ipv4Address) => (hop === own ? SourceRouteHop.LOCAL : SourceRouteHop.UNICAST)
        expect(followSourceRoute(options, bytes, START, SourceRouteHop.LOCAL, route)).to.equal(0)
        forwardOptions(options, bytes, START, own)
        expect(optionsOf(bytes)).to.equal(forwarded)
        expect(readIpv4(bytes, START + IPV4_DESTINATION)).to.equal(parseIpv4('10.0.3.2'))
        expect(headerSum(bytes)).to.equal(0)

        const received = new IpOptions()
        const answer = new IpOptions()
        expect(compileOptions(received, bytes, START, headerLength(bytes), farHost())).to.equal(0)
        expect(followSourceRoute(received, bytes, START, SourceRouteHop.LOCAL, route)).to.equal(0)
        expect(received.sourceRouteHit).to.equal(false)
        expect(echoOptions(answer, received, bytes, START, farHost())).to.equal(true)
        expect(answer.firstHop).to.equal(own)
        const built = header('00'.repeat(answer.length), '10.0.3.2', '10.0.3.9')
        buildOptions(answer, built, START, parseIpv4('10.0.3.2'), parseIpv4(sender), farHost())
        expect(optionsOf(built)).to.equal(reply)
      })
    }

    it('passes hops that are its own', () => {
      const { bytes, options } = compiled(`830b04${hops('10.0.3.9', '10.0.3.2')}00`)
      const own = parseIpv4('10.0.3.9')
      const route = (hop: Ipv4Address) => (hop === own ? SourceRouteHop.LOCAL : SourceRouteHop.UNICAST)
      expect(followSourceRoute(options, bytes, START, SourceRouteHop.LOCAL, route)).to.equal(0)
      expect(options.nextHop).to.equal(parseIpv4('10.0.3.2'))
    })

    it('refuses what cannot be followed', () => {
      const strict = compiled(`890704${hops('10.0.3.2')}00`, '10.0.3.77')
      const follow = (c: typeof strict, destination: number, hop: number) =>
        followSourceRoute(c.options, c.bytes, START, destination, () => hop)
      expect(follow(strict, SourceRouteHop.UNICAST, SourceRouteHop.UNICAST)).to.equal(16)
      expect(follow(strict, SourceRouteHop.NONE, SourceRouteHop.UNICAST)).to.equal(-1)
      expect(follow(strict, SourceRouteHop.LOCAL, SourceRouteHop.NONE)).to.equal(-1)
      const loose = compiled(`830704${hops('10.0.3.2')}00`, '10.0.3.77')
      expect(follow(loose, SourceRouteHop.UNICAST, SourceRouteHop.UNICAST)).to.equal(0)
      const uneven = compiled(`830604${hops('10.0.3.2').slice(0, 6)}0000`)
      expect(follow(uneven, SourceRouteHop.LOCAL, SourceRouteHop.UNICAST)).to.equal(22)
    })

    it('is turned round for the answer', () => {
      const { bytes, options } = compiled(`830f10${hops('10.1.0.1', '10.2.0.1', '10.3.0.1')}00`)
      const reply = new IpOptions()
      expect(echoOptions(reply, options, bytes, START, router())).to.equal(true)
      expect(reply.firstHop).to.equal(parseIpv4('10.3.0.1'))
      const answer = header('00'.repeat(reply.length), '10.0.0.9', '10.3.0.1')
      buildOptions(reply, answer, START, parseIpv4('10.0.0.9'), parseIpv4(sender), router())
      expect(optionsOf(answer)).to.equal(`830f04${hops('10.2.0.1', '10.1.0.1', sender)}00`)
    })
  })

  describe('options to send', () => {
    const compileSent = (hex: string, privileged = false) => {
      const options = new IpOptions()
      return { bad: compileSentOptions(options, fromHex(hex), router(), privileged), options }
    }
    const build = (options: IpOptions) => {
      const bytes = header('00'.repeat(options.length), '10.0.0.9', '10.0.3.2')
      buildOptions(options, bytes, START, parseIpv4('10.0.0.9'), parseIpv4('10.0.3.2'), router())
      return optionsOf(bytes)
    }

    it('ping -R: the sender is the first on record', () => {
      const { bad, options } = compileSent(`072704${'00'.repeat(36)}`)
      expect(bad).to.equal(0)
      expect(build(options)).to.equal(`0727080a000009${'00'.repeat(32)}00`)
      expect(build(options), 'built twice').to.equal(`0727080a000009${'00'.repeat(32)}00`)
    })

    it('ping -T tsonly, tsandaddr, tsprespec', () => {
      expect(compileSent('440c0500').bad).to.equal(20)
      expect(build(compileSent(`440c0500${'00'.repeat(8)}`).options)).to.equal('440c090000b7000000000000')
      expect(build(compileSent(`440c0501${'00'.repeat(8)}`).options)).to.equal('440c0d010a00000900b70000')
      expect(build(compileSent('440c05030a00030200000000').options)).to.equal('440c05030a00030200000000')
      expect(build(compileSent('440c05030a00000900000000').options)).to.equal('440c0d030a00000900b70000')
    })

    it('a source route loses its first hop and ends in the destination', () => {
      const { bad, options } = compileSent('830b040a0000010a000002')
      expect(bad).to.equal(0)
      expect(options.firstHop).to.equal(parseIpv4('10.0.0.1'))
      expect(build(options)).to.equal('830b040a0000020a00030200')
    })

    it('refuses what only the privileged may send', () => {
      expect(compileSent('9e040000').bad).to.equal(20)
      expect(compileSent('9e040000', true).bad).to.equal(0)
      expect(compileSent('0144080502').bad).to.equal(21)
      expect(compileSent('014408050200000000').bad).to.equal(24)
      expect(compileSent('830708000000000000').bad).to.equal(21)
    })
  })

  it('keeps in later fragments only what is copied, as Linux does', () => {
    const linux = header('940400000707080a00030901', sender, '10.0.3.2')
    fragmentOptions(linux, START, headerLength(linux))
    expect(optionsOf(linux)).to.equal('940400000101010101010101')
    const bytes = header('94040000070704000000000144080500000000009e03ff00', sender, '10.0.3.2')
    fragmentOptions(bytes, START, headerLength(bytes))
    expect(optionsOf(bytes)).to.equal('9404000001010101010101010101010101010101' + '9e03ff00')
  })

  describe('with any bytes (hardening-15)', () => {
    const bias = fc.oneof(
      fc.constantFrom(0, 1, 7, 68, 130, 131, 136, 137, 148, 3, 4, 5, 8, 11, 12),
      fc.integer({ min: 0, max: 255 }),
    )
    const anyOptions = fc
      .array(bias, { minLength: 0, maxLength: 10 * 4 })
      .map((b) => toHex(Uint8Array.from(b.slice(0, b.length & ~3))))

    it('stays inside the header, points inside it, and can be answered, forwarded and fragmented', () => {
      const options = new IpOptions()
      const reply = new IpOptions()
      fc.assert(
        fc.property(anyOptions, (sent) => {
          const bytes = header(sent, sender, '10.0.0.9')
          const before = toHex(bytes)
          const length = headerLength(bytes)
          const pointer = compileOptions(options, bytes, START, length, router())
          expect(pointer === 0 || (pointer >= IPV4_MIN_HEADER && pointer < length)).to.equal(true)
          echoOptions(reply, options, bytes, START, router())
          expect(reply.length).to.be.at.most(40)
          expect(reply.length % 4).to.equal(0)
          const built = header('00'.repeat(reply.length), '10.0.0.9', sender)
          buildOptions(reply, built, START, 1, 2, router())
          expect(toHex(built.subarray(START + headerLength(built)))).to.equal('eeeeeeee')
          if (pointer === 0) {
            if (options.sourceRoute !== 0) {
              followSourceRoute(options, bytes, START, SourceRouteHop.LOCAL, () => SourceRouteHop.UNICAST)
            }
            forwardOptions(options, bytes, START, 3)
            expect(headerSum(bytes)).to.equal(0)
          }
          fragmentOptions(bytes, START, length)
          expect(toHex(bytes.subarray(0, START))).to.equal('ee'.repeat(START))
          expect(toHex(bytes.subarray(START + length))).to.equal('eeeeeeee')
          const again = fromHex(before)
          compileOptions(options, again, START, length, router())
          restoreOptions(options, again, START)
          expect(toHex(again)).to.equal(before)
        }),
        { numRuns: 2000 },
      )
    })

    it('compiles what is to be sent without throwing', () => {
      const options = new IpOptions()
      fc.assert(
        fc.property(anyOptions, fc.boolean(), (sent, privileged) => {
          const bad = compileSentOptions(options, fromHex(sent), router(), privileged)
          expect(bad === 0 || (bad >= 20 && bad < 60)).to.equal(true)
        }),
      )
    })
  })
})
