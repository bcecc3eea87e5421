import { expect } from 'chai'
import fc from 'fast-check'
import { setUnspecified, setV4Mapped } from '../../lib/address/ip-address.ts'
import { EndpointTable } from '../../lib/demux/endpoint-table.ts'
import { createFlowKey, FlowKey, localPort, remotePort, setPorts } from '../../lib/demux/flow-key.ts'
import { PortRange } from '../../lib/demux/ports.ts'
import { Random } from '../../lib/random/random.ts'
import { seededRandom } from '../../lib/random/seeded.ts'
import { HalfSipHash } from '../../lib/random/siphash.ts'

interface Endpoint {
  name: string
}

const HOST = 0x0a000001
const PEER = 0x0a000002

/** `'::'`, or an IPv4 address (0 for any), or the last word of an IPv6 one. */
type Address = number | '::' | { six: number }

function put(key: Int32Array, offset: number, address: Address): void {
  if (address === '::') setUnspecified(key, offset)
  else if (typeof address === 'number') setV4Mapped(key, offset, address)
  else {
    setUnspecified(key, offset)
    key[offset] = 0x20010db8
    key[offset + 3] = address.six
  }
}

function flow(local: Address, port: number, remote: Address = '::', remotePort = 0, device = 0): Int32Array {
  const key = createFlowKey()
  put(key, FlowKey.LOCAL, local)
  put(key, FlowKey.REMOTE, remote)
  setPorts(key, port, remotePort)
  key[FlowKey.DEVICE] = device
  return key
}

function table(): EndpointTable<Endpoint> {
  return new EndpointTable<Endpoint>(new HalfSipHash(5, 6))
}

describe('EndpointTable', () => {
  it('takes the more specific: four-tuple, address, IPv4 wildcard, wildcard; each with the device first', () => {
    const t = table()
    const share = { reuseAddress: true }
    const order: [string, Int32Array, boolean][] = [
      ['tuple+dev', flow(HOST, 80, PEER, 999, 2), true],
      ['tuple', flow(HOST, 80, PEER, 999), true],
      ['address+dev', flow(HOST, 80, '::', 0, 2), false],
      ['address', flow(HOST, 80), false],
      ['0.0.0.0+dev', flow(0, 80, '::', 0, 2), false],
      ['0.0.0.0', flow(0, 80), false],
      ['::+dev', flow('::', 80, '::', 0, 2), false],
      ['::', flow('::', 80), false],
    ]
    const endpoints = order.map(([name, key, connected]) => {
      const endpoint = { name }
      expect(connected ? t.connect(key, endpoint) : t.bind(key, endpoint, share)).to.equal(true)
      return endpoint
    })
    const packet = flow(HOST, 80, PEER, 999, 2)
    order.forEach(([name, key, connected], i) => {
      expect(t.lookup(packet)!.name).to.equal(name)
      expect([...packet]).to.deep.equal([...flow(HOST, 80, PEER, 999, 2)])
      expect(connected ? t.disconnect(key, endpoints[i]!) : t.unbind(key, endpoints[i]!)).to.equal(true)
    })
    expect(t.lookup(packet)).to.equal(null)
    expect(t.length).to.equal(0)
  })

  it('gives a packet of another device to nobody who is bound to one', () => {
    const t = table()
    t.bind(flow('::', 80, '::', 0, 2), { name: 'dev' })
    t.connect(flow(HOST, 80, PEER, 999, 2), { name: 'tuple+dev' })
    expect(t.lookup(flow(HOST, 80, PEER, 999, 3))).to.equal(null)
    expect(t.lookup(flow(HOST, 80, PEER, 998, 2))!.name).to.equal('dev')
    expect(t.lookup(flow(HOST, 81, PEER, 998, 2))).to.equal(null)
  })

  it('keeps IPv4 and IPv6 apart where the endpoint says so', () => {
    const t = table()
    t.bind(flow('::', 80), { name: 'six' }, { v6Only: true })
    expect(t.lookup(flow(HOST, 80, PEER, 1))).to.equal(null)
    expect(t.lookup(flow({ six: 1 }, 80, { six: 2 }, 1))!.name).to.equal('six')
    expect(t.bind(flow(0, 80), { name: 'four' })).to.equal(true)
    expect(t.lookup(flow(HOST, 80, PEER, 1))!.name).to.equal('four')
    expect(t.lookup(flow({ six: 1 }, 80, { six: 2 }, 1))!.name).to.equal('six')
  })

  it('refuses what is in use, as bind() of Linux does', () => {
    const cases: [string, Int32Array, object, Int32Array, object, boolean][] = [
      ['same', flow(HOST, 80), {}, flow(HOST, 80), {}, false],
      ['other port', flow(HOST, 80), {}, flow(HOST, 81), {}, true],
      ['other address', flow(HOST, 80), {}, flow(PEER, 80), {}, true],
      ['wildcard', flow(0, 80), {}, flow(HOST, 80), {}, false],
      ['wildcard after', flow(HOST, 80), {}, flow(0, 80), {}, false],
      ['dual-stack', flow('::', 80), {}, flow(HOST, 80), {}, false],
      ['v6 only', flow('::', 80), { v6Only: true }, flow(HOST, 80), {}, true],
      ['other family', flow({ six: 1 }, 80), {}, flow(0, 80), {}, true],
      ['two devices', flow(0, 80, '::', 0, 1), {}, flow(0, 80, '::', 0, 2), {}, true],
      ['device and any', flow(0, 80, '::', 0, 1), {}, flow(0, 80), {}, false],
      ['one reuses', flow(0, 80), { reuseAddress: true }, flow(0, 80), {}, false],
      ['both reuse', flow(0, 80), { reuseAddress: true }, flow(0, 80), { reuseAddress: true }, true],
      ['reuse and port', flow(0, 80), { reuseAddress: true }, flow(0, 80), { reusePort: true }, false],
      ['both port', flow(0, 80), { reusePort: true }, flow(0, 80), { reusePort: true }, true],
      ['other owner', flow(0, 80), { reusePort: true }, flow(0, 80), { reusePort: true, owner: 5 }, false],
    ]
    for (const [name, first, options, second, others, expected] of cases) {
      const t = table()
      expect(t.bind(first, { name }, options)).to.equal(true)
      expect(t.inUse(second, others), name).to.equal(!expected)
      expect(t.bind(second, { name }, others), name).to.equal(expected)
      expect(t.unbind(first, { name: 'stranger' })).to.equal(false)
    }
  })

  it('spreads flows over a SO_REUSEPORT group, each flow always to the same', () => {
    const t = table()
    const endpoints = ['a', 'b', 'c', 'd'].map((name) => ({ name }))
    for (const endpoint of endpoints) t.bind(flow(0, 53), endpoint, { reusePort: true })
    const count = new Map<Endpoint, number>()
    for (let port = 1; port <= 4000; port++) {
      const found = t.lookup(flow(HOST, 53, PEER, port))!
      expect(t.lookup(flow(HOST, 53, PEER, port, 3))).to.equal(found)
      count.set(found, (count.get(found) ?? 0) + 1)
    }
    for (const endpoint of endpoints) expect(count.get(endpoint)).to.be.within(800, 1200)
    t.unbind(flow(0, 53), endpoints[1]!)
    for (let port = 1; port <= 100; port++)
      expect(t.lookup(flow(HOST, 53, PEER, port))).not.to.equal(endpoints[1])
  })

  it('gives packets to the latest of those that share by SO_REUSEADDR', () => {
    const t = table()
    const [a, b] = [{ name: 'a' }, { name: 'b' }]
    t.bind(flow(0, 53), a!, { reuseAddress: true })
    t.bind(flow(0, 53), b!, { reuseAddress: true })
    expect(t.lookup(flow(HOST, 53, PEER, 1))).to.equal(b)
    t.unbind(flow(0, 53), b!)
    expect(t.lookup(flow(HOST, 53, PEER, 1))).to.equal(a)
  })

  it('an endpoint that has a peer keeps its port, and is found by that peer only', () => {
    const t = table()
    const [first, second] = [{ name: 'first' }, { name: 'second' }]
    const share = { reuseAddress: true }
    t.bind(flow(HOST, 80), first, share)
    t.bind(flow(HOST, 80), second, share)
    expect(t.setOpen(flow(HOST, 80), second, false)).to.equal(true)
    expect(t.setOpen(flow(HOST, 80), second, false), 'twice').to.equal(true)
    expect(t.lookup(flow(HOST, 80, PEER, 9))).to.equal(first)
    expect(t.setOpen(flow(HOST, 80), first, false)).to.equal(true)
    expect(t.lookup(flow(HOST, 80, PEER, 9))).to.equal(null)
    expect(t.inUse(flow(HOST, 80))).to.equal(true)
    expect(t.setOpen(flow(HOST, 80), first, true)).to.equal(true)
    expect(t.lookup(flow(HOST, 80, PEER, 9))).to.equal(first)
    t.setOpen(flow(HOST, 80), second, true)
    expect(t.lookup(flow(HOST, 80, PEER, 9)), 'the latest again').to.equal(second)
    expect(t.setOpen(flow(HOST, 81), second, true)).to.equal(false)
    t.setOpen(flow(HOST, 80), second, false)
    expect(t.unbind(flow(HOST, 80), second)).to.equal(true)
    expect(t.unbind(flow(HOST, 80), first)).to.equal(true)
    expect(t.inUse(flow(HOST, 80))).to.equal(false)
  })

  it('names all that are bound to a port, oldest first, whatever their address', () => {
    const t = table()
    const share = { reuseAddress: true }
    const endpoints = [flow(0, 80), flow(HOST, 80), flow('::', 80, '::', 0, 2), flow(0, 81)].map((key, i) => {
      const endpoint = { name: String(i) }
      t.bind(key, endpoint, share)
      return endpoint
    })
    t.setOpen(flow(HOST, 80), endpoints[1]!, false)
    const found: string[] = []
    t.forEachOnPort(80, ({ name }) => void found.push(name))
    t.forEachOnPort(82, ({ name }) => void found.push(name))
    expect(found).to.deep.equal(['0', '1', '2'])
  })

  it('is bounded, and takes a four-tuple once', () => {
    const t = new EndpointTable<Endpoint>(new HalfSipHash(5, 6), { limit: 3 })
    for (let port = 1; port <= 4; port++) {
      expect(t.bind(flow(0, port), { name: '' })).to.equal(port <= 3)
      expect(t.connect(flow(HOST, port, PEER, 9), { name: '' })).to.equal(port <= 3)
    }
    t.disconnect(flow(HOST, 3, PEER, 9), t.lookupConnected(flow(HOST, 3, PEER, 9))!)
    expect(t.connect(flow(HOST, 1, PEER, 9), { name: '' })).to.equal(false)
    expect(t.disconnect(flow(HOST, 1, PEER, 9), { name: 'stranger' })).to.equal(false)
    let seen = 0
    t.forEach(() => {
      seen++
    })
    expect(seen).to.equal(t.length)
  })

  it('hardening-6: picks ports over the whole range, none that is taken (RFC 6056)', () => {
    const t = table()
    const random = new Random(seededRandom(9))
    const range = new PortRange(40000, 40999)
    const picked = new Set<number>()
    let low = 0
    let adjacent = 0
    let last = 0
    for (let i = 0; i < 1000; i++) {
      const key = flow(0, 0, PEER, 443)
      const port = t.pickPort(key, range, random)
      expect([localPort(key), remotePort(key)]).to.deep.equal([port, 443])
      expect(port).to.be.within(40000, 40999)
      expect(picked.has(port)).to.equal(false)
      picked.add(port)
      if (i < 200 && port < 40500) low++
      if (Math.abs(port - last) === 1) adjacent++
      last = port
      expect(t.bind(key, { name: '' })).to.equal(true)
    }
    expect(low).to.be.within(70, 130)
    expect(adjacent).to.be.below(30)
    expect(t.pickPort(flow(0, 0), range, random)).to.equal(0)
    expect(t.pickPort(flow(0, 0), range, random, { reuseAddress: true })).to.equal(0)
    expect(() => new PortRange(5, 4))
      .to.throw('port range')
      .with.property('code', 'ERR_INVALID_ARG_VALUE')
  })

  it('agrees with a list that is scored, whatever is bound (property)', () => {
    const address = fc.constantFrom<Address>(HOST, PEER, 0, '::', { six: 1 })
    const binding = fc.record({ address, port: fc.integer({ min: 1, max: 2 }), device: fc.nat(2) })
    const target = fc.constantFrom<Address>(HOST, PEER, { six: 1 }, { six: 2 })
    fc.assert(
      fc.property(
        fc.array(binding, { maxLength: 12 }),
        fc.array(fc.record({ target, port: fc.integer({ min: 1, max: 2 }), device: fc.nat(2) }), {
          maxLength: 10,
        }),
        (bindings, packets) => {
          const t = table()
          const bound: { name: string; address: Address; port: number; device: number }[] = []
          for (const each of bindings) {
            const endpoint = { name: '', ...each }
            const sharing = { reuseAddress: true }
            expect(t.bind(flow(each.address, each.port, '::', 0, each.device), endpoint, sharing)).to.equal(
              true,
            )
            bound.push(endpoint)
          }
          for (const packet of packets) {
            let best: Endpoint | null = null
            let bestScore = 0
            for (const endpoint of bound) {
              if (endpoint.port !== packet.port) continue
              if (endpoint.device !== 0 && endpoint.device !== packet.device) continue
              const exact = JSON.stringify(endpoint.address) === JSON.stringify(packet.target)
              const four = typeof packet.target === 'number'
              const score = exact ? 8 : endpoint.address === 0 && four ? 4 : endpoint.address === '::' ? 2 : 0
              if (score === 0 || score + (endpoint.device === 0 ? 0 : 1) < bestScore) continue
              best = endpoint
              bestScore = score + (endpoint.device === 0 ? 0 : 1)
            }
            expect(t.lookup(flow(packet.target, packet.port, PEER, 7, packet.device))).to.equal(best)
          }
        },
      ),
      { numRuns: 200 },
    )
  })
})
