import { expect } from 'chai'
import { type IpAddressWords, isV4Mapped, setV4Mapped } from '../../lib/address/ip-address.ts'
import { type Ipv4Address, parseIpv4 } from '../../lib/address/ipv4-address.ts'
import { EndpointTable } from '../../lib/demux/endpoint-table.ts'
import { createFlowKey, FlowKey, setPorts } from '../../lib/demux/flow-key.ts'
import { FlowTable } from '../../lib/demux/flow-table.ts'
import { HalfSipHash } from '../../lib/random/siphash.ts'

/** What an address family has to say to use the tables. */
interface Family<A> {
  write(words: IpAddressWords, offset: number, address: A): void
}

/** An endpoint of a transport, which does not know its family. */
class Endpoint<A> {
  readonly family: Family<A>
  readonly local: A
  readonly remote: A

  constructor(family: Family<A>, local: A, remote: A) {
    this.family = family
    this.local = local
    this.remote = remote
  }

  fill(key: Int32Array): Int32Array {
    this.family.write(key, FlowKey.LOCAL, this.local)
    this.family.write(key, FlowKey.REMOTE, this.remote)
    setPorts(key, 80, 50000)
    return key
  }
}

type Ipv6Address = readonly [number, number, number, number]

const ipv4: Family<Ipv4Address> = { write: setV4Mapped }
const ipv6: Family<Ipv6Address> = { write: (words, offset, address) => words.set(address, offset) }

/** The tables as a transport instantiates them: for either family, and for both at once. */
function roundTrip<E extends object>(
  endpoint: E,
  fill: (key: Int32Array) => Int32Array,
  tables: { flows: FlowTable<E>; endpoints: EndpointTable<E> },
): void {
  const key = fill(createFlowKey())
  expect(tables.flows.add(key, endpoint)).to.equal(true)
  expect(tables.endpoints.connect(key, endpoint)).to.equal(true)
  const found: E | null = tables.flows.get(fill(createFlowKey()))
  expect(found).to.equal(endpoint)
  expect(tables.endpoints.lookup(fill(createFlowKey()))).to.equal(endpoint)
}

describe('the tables of both address families', () => {
  const hash = new HalfSipHash(1, 2)
  const four = new Endpoint(ipv4, parseIpv4('10.0.0.1'), parseIpv4('10.0.0.2'))
  const six = new Endpoint<Ipv6Address>(ipv6, [0x20010db8, 0, 0, 1], [0x20010db8, 0, 0, 2])

  it('hold IPv4 endpoints', () => {
    roundTrip<Endpoint<Ipv4Address>>(four, (key) => four.fill(key), {
      flows: new FlowTable(hash),
      endpoints: new EndpointTable(hash),
    })
    expect(isV4Mapped(four.fill(createFlowKey()), FlowKey.LOCAL)).to.equal(true)
  })

  it('hold IPv6 endpoints', () => {
    roundTrip<Endpoint<Ipv6Address>>(six, (key) => six.fill(key), {
      flows: new FlowTable(hash),
      endpoints: new EndpointTable(hash),
    })
    expect(isV4Mapped(six.fill(createFlowKey()), FlowKey.LOCAL)).to.equal(false)
  })

  it('hold both in one table', () => {
    type Either = Endpoint<Ipv4Address> | Endpoint<Ipv6Address>
    const tables = { flows: new FlowTable<Either>(hash), endpoints: new EndpointTable<Either>(hash) }
    roundTrip<Either>(four, (key) => four.fill(key), tables)
    roundTrip<Either>(six, (key) => six.fill(key), tables)
    expect(tables.flows.length).to.equal(2)
    // @ts-expect-error a key is words, not text: nothing keyed by the wire is a plain object
    const wrong: Parameters<typeof tables.flows.get>[0] = '10.0.0.1:80'
    expect(wrong).to.be.a('string')
  })
})
