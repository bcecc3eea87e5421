import nodeDgram from 'node:dgram'
import nodeDns from 'node:dns'
import { once } from 'node:events'
import nodeNet, { type AddressInfo } from 'node:net'
import { expect } from 'chai'
import {
  type Answer,
  AUTHORITATIVE_ANSWER,
  decode,
  encode,
  type Packet,
  TRUNCATED_RESPONSE,
} from 'dns-packet'
import { Stack } from '../../../lib/index.ts'
import { nodeSockets } from '../../../lib/node/index.ts'
import { Recorder } from '../compliance/recorder.ts'

const HOST = '127.0.0.1'
const RCODES: Readonly<Record<string, number>> = {
  'fail.test': 2,
  'not.test': 4,
  'refused.test': 5,
  'form.test': 1,
}

const RECORDS: readonly Answer[] = [
  { type: 'A', name: 'a.test', ttl: 30, data: '192.0.2.1' },
  { type: 'A', name: 'a.test', ttl: 30, data: '192.0.2.2' },
  { type: 'AAAA', name: 'a.test', ttl: 30, data: '2001:db8::1' },
  { type: 'CNAME', name: 'alias.test', ttl: 30, data: 'a.test' },
  { type: 'MX', name: 'a.test', ttl: 30, data: { preference: 10, exchange: 'mx.test' } },
  { type: 'NS', name: 'a.test', ttl: 30, data: 'ns.test' },
  { type: 'TXT', name: 'a.test', ttl: 30, data: ['one', 'two'] },
  { type: 'SRV', name: '_s._tcp.test', ttl: 30, data: { priority: 1, weight: 2, port: 3, target: 't.test' } },
  { type: 'PTR', name: '9.2.0.192.in-addr.arpa', ttl: 30, data: 'nine.test' },
  {
    type: 'SOA',
    name: 'a.test',
    ttl: 30,
    data: { mname: 'm.test', rname: 'r.test', serial: 1, refresh: 2, retry: 3, expire: 4, minimum: 5 },
  },
  {
    type: 'NAPTR',
    name: 'a.test',
    ttl: 30,
    data: { order: 1, preference: 2, flags: 'u', services: 's', regexp: 'r', replacement: 'x.test' },
  },
  {
    type: 'CAA',
    name: 'a.test',
    ttl: 30,
    data: { flags: 0, tag: 'issue', value: 'ca.test', issuerCritical: false },
  },
  ...Array.from(
    { length: 60 },
    (_, i): Answer => ({ type: 'TXT', name: 'long.test', ttl: 1, data: `${i} ${'x'.repeat(100)}` }),
  ),
]

function answer(bytes: Buffer, most: number): Buffer {
  const { id = 0, questions = [] } = decode(bytes)
  const { name = '', type = '' }: { name?: string; type?: string } = questions[0] ?? {}
  const own = RECORDS.filter((record) => record.name === name)
  const alias = own.find((record) => record.type === 'CNAME')
  const followed = alias === undefined ? own : [alias, ...RECORDS.filter(({ name: n }) => n === 'a.test')]
  const answers = followed.filter((record) => record.type === type || record === alias || type === 'ANY')
  const rcode = RCODES[name] ?? (own.length === 0 ? 3 : 0)
  const reply = (flags: number, records: Answer[]): Buffer =>
    encode({
      type: 'response',
      id,
      flags: AUTHORITATIVE_ANSWER | rcode | flags,
      questions,
      answers: records,
    } as Packet)
  const all = reply(0, answers)
  return all.length <= most ? all : reply(TRUNCATED_RESPONSE, [])
}

/** The same server, of the kernel or of a stack. */
async function serve(dgram: typeof nodeDgram, net: typeof nodeNet) {
  const tcp = net.createServer((client) =>
    client.on('data', (bytes) => {
      const reply = answer(bytes.subarray(2), 65535)
      client.write(Buffer.concat([Buffer.from([reply.length >> 8, reply.length & 255]), reply]))
    }),
  )
  tcp.listen(0, HOST)
  await once(tcp, 'listening')
  const { port } = tcp.address() as AddressInfo
  const udp = dgram.createSocket('udp4')
  udp.on('message', (bytes, from) => {
    if (decode(bytes).questions?.[0]?.name === 'silent.test') return
    // Before the answer comes one with another number.
    const forged = answer(bytes, 512)
    forged.writeUInt16BE(forged.readUInt16BE(0) ^ 1, 0)
    for (const each of [forged, answer(bytes, 512)]) udp.send(each, from.port, from.address)
  })
  udp.bind(port, HOST)
  await once(udp, 'listening')
  return {
    server: `${HOST}:${port}`,
    close() {
      tcp.close()
      udp.close()
    },
  }
}

type Dns = typeof nodeDns
type Question = (resolver: nodeDns.Resolver, done: (error: Error | null, found?: unknown) => void) => unknown

const QUESTIONS: Readonly<Record<string, Question>> = {
  addresses: (r, done) => r.resolve4('a.test', done),
  'addresses and how long they hold': (r, done) => r.resolve4('a.test', { ttl: true }, done),
  'addresses of IPv6': (r, done) => r.resolve6('a.test', done),
  'addresses by another name': (r, done) => r.resolve4('alias.test', done),
  'mail exchangers': (r, done) => r.resolveMx('a.test', done),
  'name servers': (r, done) => r.resolveNs('a.test', done),
  texts: (r, done) => r.resolveTxt('a.test', done),
  services: (r, done) => r.resolveSrv('_s._tcp.test', done),
  pointers: (r, done) => r.resolvePtr('9.2.0.192.in-addr.arpa', done),
  'the start of authority': (r, done) => r.resolveSoa('a.test', done),
  'naming authorities': (r, done) => r.resolveNaptr('a.test', done),
  'the canonical name': (r, done) => r.resolveCname('alias.test', done),
  'who may certify': (r, done) => r.resolveCaa('a.test', done),
  'resolve with a type': (r, done) => r.resolve('a.test', 'MX', done),
  'an answer that is too long for a datagram': (r, done) => r.resolveTxt('long.test', done),
  'the name of an address': (r, done) => r.reverse('192.0.2.9', done),
  'the name of an address that has none': (r, done) => r.reverse('192.0.2.8', done),
  'the name of what is no address': (r, done) => r.reverse('x', done),
  'no such name': (r, done) => r.resolve4('none.test', done),
  'no such record': (r, done) => r.resolveSrv('a.test', done),
  'a server that fails': (r, done) => r.resolve4('fail.test', done),
  'a server that refuses': (r, done) => r.resolve4('refused.test', done),
  'a server that does not understand': (r, done) => r.resolve4('form.test', done),
  'a server that is silent': (r, done) => r.resolve4('silent.test', done),
  'a label that is too long': (r, done) => r.resolve4(`${'x'.repeat(64)}.test`, done),
  'a type that is none': (r, done) => r.resolve('a.test', 'XYZ' as never, done as never),
  'a name that is none': (r, done) => r.resolve4(5 as never, done),
  'a callback that is none': (r) => r.resolve4('a.test', 5 as never),
  cancelled: (r, done) => {
    r.resolve4('silent.test', done)
    r.cancel()
  },
  'servers that were set': (r, done) => done(null, r.getServers().length),
}

async function record(dns: Dns, server: string, question: Question): Promise<string[]> {
  const recorder = new Recorder()
  const resolver = new dns.Resolver({ timeout: 200, tries: 1 })
  resolver.setServers([server])
  try {
    await new Promise<void>((resolve) => {
      question(resolver, (error, found) => {
        recorder.note(error, JSON.stringify(found))
        resolve()
      })
    })
  } catch (error) {
    recorder.note('threw', error)
  }
  return recorder.lines
}

describe('dns of nodeSockets', () => {
  let stack: Stack
  let ours: Awaited<ReturnType<typeof serve>>
  let theirs: Awaited<ReturnType<typeof serve>>
  before(async () => {
    stack = new Stack()
    const { dgram, net } = nodeSockets(stack, { hosts: '10.9.0.7 db db.local # the database\n\n10.9.0.8 db' })
    ours = await serve(dgram, net)
    theirs = await serve(nodeDgram, nodeNet)
  })
  after(async () => {
    ours.close()
    theirs.close()
    await stack.close()
  })

  describe('resolvers answer as Node’s over the kernel', () => {
    for (const [name, question] of Object.entries(QUESTIONS)) {
      it(name, async () => {
        const expected = await record(nodeDns, theirs.server, question)
        expect(expected).to.have.length(1)
        expect(await record(nodeSockets(stack).dns, ours.server, question)).to.deep.equal(expected)
      })
    }
  })

  it('lookups: hosts, addresses, one or all, callbacks and promises', async () => {
    const { dns } = nodeSockets(stack)
    const { lookup } = dns.promises
    expect(await lookup('db')).to.deep.equal({ address: '10.9.0.7', family: 4 })
    expect(await lookup('DB.local.', { all: true })).to.deep.equal([{ address: '10.9.0.7', family: 4 }])
    expect((await lookup('db', { all: true })).map(({ address }) => address)).to.deep.equal([
      '10.9.0.7',
      '10.9.0.8',
    ])
    expect(await lookup('localhost', 6)).to.deep.equal({ address: '::1', family: 6 })
    expect(await lookup('192.0.2.1')).to.deep.equal({ address: '192.0.2.1', family: 4 })
    expect(await lookup('nobody').catch(({ code }) => code)).to.equal('ENOTFOUND')
    expect(await dns.promises.lookupService('10.9.0.7', 22)).to.deep.equal({ hostname: 'db', service: '22' })
    expect(() => dns.lookup('db', { family: 5 }, () => {}))
      .to.throw()
      .with.property('code', 'ERR_INVALID_ARG_VALUE')
    expect(() => dns.lookup(5 as never, () => {}))
      .to.throw()
      .with.property('code', 'ERR_INVALID_ARG_TYPE')
  })

  it('lookups ask the servers that were given', async () => {
    const other = new Stack()
    const own = nodeSockets(other, { servers: [HOST] })
    const udp = own.dgram.createSocket('udp4', (bytes, from) =>
      udp.send(answer(bytes, 512), from.port, from.address),
    )
    udp.bind(53, HOST)
    const { lookup } = own.dns.promises
    expect(await lookup('alias.test', { all: true })).to.deep.equal([
      { address: '192.0.2.1', family: 4 },
      { address: '192.0.2.2', family: 4 },
    ])
    expect(await lookup('none.test').catch(({ message }) => message)).to.equal(
      'getaddrinfo ENOTFOUND none.test',
    )
    expect(await lookup('fail.test').catch(({ message }) => message)).to.equal(
      'getaddrinfo EAI_AGAIN fail.test',
    )
    udp.close()
    await other.close()
    expect(() => nodeSockets(new Stack(), { servers: ['nobody'] }))
      .to.throw()
      .with.property('code', 'ERR_INVALID_ARG_VALUE')
  })
})
