import { expect } from 'chai'
import fc from 'fast-check'
import {
  createPipe,
  Stack,
  seededRandom,
  TunstackError,
  type UdpBindOptions,
  type UdpErrorReport,
} from '../../lib/index.ts'
import { simulate } from '../../lib/sim/index.ts'
import { HOST, HostBench, INNER, PEER, useBench } from '../conformance/harness.ts'
import { type Bytes, decode, icmp, pattern, udp } from '../conformance/packets.ts'

const bench = useBench(() => new HostBench())
const TO_HOST = { src: PEER, dst: HOST }

function bind(options: UdpBindOptions = {}) {
  return bench().stack.udp.bind(options)
}

function receive(port: number, data: Iterable<number>, src = PEER, dst = HOST, sport = 5000): void {
  bench().exchange(bench().tun, udp({ src, dst }, { sport, dport: port }, [...data]))
}

/** What the host has sent since the last call. */
function sent(): Bytes[] {
  bench().settle()
  return bench().tun.take()
}

function codeOf(call: () => unknown): string {
  try {
    call()
  } catch (error) {
    expect(error).to.be.instanceOf(TunstackError)
    return (error as TunstackError).code
  }
  return 'no error'
}

async function rejection(promise: Promise<unknown>): Promise<{ code?: string; name?: string }> {
  return await promise.then(
    () => expect.fail('it was not rejected'),
    (error: unknown) => error as { code?: string },
  )
}

describe('UdpSocket', () => {
  describe('receiving', () => {
    it('promises: the next datagram, with who sent it, to where, by which device', async () => {
      const socket = bind({ port: 6000 })
      const first = socket.receive()
      receive(6000, [1, 2, 3])
      expect({ ...(await first), data: [...(await first).data] }).to.deep.equal({
        data: [1, 2, 3],
        address: PEER,
        port: 5000,
        to: HOST,
        device: 'tun0',
        ttl: 64,
        tos: 0,
      })
      receive(6000, [4], PEER, INNER)
      expect(socket.waiting).to.equal(1)
      expect((await socket.receive()).to).to.equal(INNER)
    })

    it('async iteration, until it is closed', async () => {
      const socket = bind({ port: 6000 })
      const seen: number[] = []
      const reading = (async () => {
        for await (const { data } of socket) seen.push(data[0]!)
      })()
      for (let i = 0; i < 5; i++) {
        receive(6000, [i])
        if (i % 2 === 0) await new Promise((resolve) => setImmediate(resolve))
      }
      await new Promise((resolve) => setImmediate(resolve))
      socket.close()
      await reading
      expect(seen).to.deep.equal([0, 1, 2, 3, 4])
    })

    it('into a buffer of the caller’s, cut to its size, without a message', () => {
      const socket = bind({ port: 6000 })
      const buffer = new Uint8Array(4)
      expect(socket.receiveInto(buffer)).to.equal(-1)
      receive(6000, [1, 2])
      receive(6000, [3, 4, 5, 6, 7, 8])
      receive(6000, [])
      expect(socket.receiveInto(buffer, 1)).to.equal(2)
      expect([...buffer]).to.deep.equal([0, 1, 2, 0])
      expect(socket.received).to.include({
        length: 2,
        address: PEER,
        port: 5000,
        to: HOST,
        device: 'tun0',
        ttl: 64,
      })
      expect(socket.receiveInto(buffer)).to.equal(4)
      expect(socket.received.length).to.equal(6)
      expect(socket.receiveInto(buffer)).to.equal(0)
      expect(socket.receiveInto(buffer)).to.equal(-1)
      expect(socket.counters).to.include({ received: 3, receivedBytes: 8, overflowed: 0 })
    })

    it('says when there is something to read', async () => {
      const socket = bind({ port: 6000 })
      let readable = false
      const waiting = socket.readable().then(() => void (readable = true))
      await null
      expect(readable).to.equal(false)
      receive(6000, [1])
      await waiting
      await socket.readable()
      expect(socket.waiting).to.equal(1)
    })

    it('two that wait each get one', async () => {
      const socket = bind({ port: 6000 })
      const both = Promise.all([socket.receive(), socket.receive()])
      receive(6000, [1])
      receive(6000, [2])
      expect((await both).map(({ data }) => data[0])).to.deep.equal([1, 2])
    })

    it('an abort ends the wait, not the socket', async () => {
      const socket = bind({ port: 6000 })
      const controller = new AbortController()
      const reading = rejection(socket.receive({ signal: controller.signal }))
      const reason = new Error('enough')
      controller.abort(reason)
      expect(await reading).to.equal(reason)
      expect(await rejection(socket.receive({ signal: controller.signal }))).to.equal(reason)
      receive(6000, [1])
      expect((await socket.receive()).data[0]).to.equal(1)
    })

    it('an abort of its own signal closes it, and so does disposing of it', async () => {
      const controller = new AbortController()
      const socket = bind({ port: 6000, signal: controller.signal })
      const reading = rejection(socket.receive())
      controller.abort()
      expect((await reading).code).to.equal('ERR_SOCKET_CLOSED')
      expect(() => bind({ signal: controller.signal })).to.throw()
      await bind({ port: 6000 })[Symbol.asyncDispose]()
      expect(bind({ port: 6000 }).port).to.equal(6000)
    })

    it('closed, it gives nothing and takes nothing', async () => {
      const socket = bind({ port: 6000 })
      receive(6000, [1])
      socket.close()
      expect((await rejection(socket.receive())).code).to.equal('ERR_SOCKET_CLOSED')
      for (const call of [
        () => socket.receiveInto(new Uint8Array(1)),
        () => socket.send(pattern(1), { address: PEER, port: 1 }),
        () => socket.connect({ address: PEER, port: 1 }),
        () => socket.joinGroup('224.1.1.1'),
      ]) {
        expect(codeOf(call)).to.equal('ERR_SOCKET_CLOSED')
      }
      bench().expect(bench().tun, udp(TO_HOST, { dport: 6000 }), [{ icmp: { type: 3, code: 3 } }])
    })

    it('the stack’s end is its end', async () => {
      const stack = new Stack({ clock: bench().clock, random: seededRandom(1) })
      const socket = stack.udp.bind({ port: 1 })
      const reading = rejection(socket.receive())
      await stack.close()
      expect((await reading).code).to.equal('ERR_SOCKET_CLOSED')
      expect(socket.closed).to.equal(true)
    })

    it('property: whatever is sent arrives, whatever way it is read, through loopback', async () => {
      const datagrams = fc.array(fc.uint8Array({ maxLength: 3000 }), { minLength: 1, maxLength: 30 })
      await fc.assert(
        fc.asyncProperty(
          datagrams,
          fc.array(fc.boolean(), { minLength: 30, maxLength: 30 }),
          async (list, into) => {
            const receiver = bind({ port: 7000 })
            const sender = bind()
            sender.connect({ address: INNER, port: 7000 })
            for (const data of list) sender.send(data)
            bench().settle()
            const buffer = new Uint8Array(3000)
            for (const [i, data] of list.entries()) {
              if (into[i]) {
                expect(receiver.receiveInto(buffer)).to.equal(data.length)
                expect([...buffer.subarray(0, data.length)]).to.deep.equal([...data])
              } else expect([...(await receiver.receive()).data]).to.deep.equal([...data])
            }
            expect(receiver.waiting).to.equal(0)
            receiver.close()
            sender.close()
          },
        ),
        { numRuns: 30 },
      )
    })
  })

  describe('sending', () => {
    it('errors say what and to whom', () => {
      const socket = bind()
      const to = { address: PEER, port: 9 }
      expect(codeOf(() => socket.send(pattern(1)))).to.equal('EDESTADDRREQ')
      expect(codeOf(() => socket.send(pattern(1), { ...to, port: 0 }))).to.equal('EINVAL')
      expect(codeOf(() => socket.send(pattern(65508), to))).to.equal('EMSGSIZE')
      expect(codeOf(() => socket.send(pattern(1), to, { device: 'eth9' }))).to.equal('ENODEV')
      expect(codeOf(() => socket.send(pattern(1), to, { source: '192.0.2.1' }))).to.equal('ENETUNREACH')
      for (const call of [
        () => socket.send('x' as never, to),
        () => socket.send(pattern(1), { address: 'x', port: 9 }),
        () => socket.send(pattern(1), to, { ttl: 0 }),
        () => socket.send(pattern(1), to, { tos: 256 }),
        () => socket.setTtl(256),
        () => socket.setPathMtuDiscovery('always' as never),
        () => bind({ port: 65536 }),
        () => bind({ broadcast: 1 } as never),
        () => bind({ onMessage: 5 } as never),
        () => bind({ receiveBuffer: 0 }),
        () => socket.setReceiveBuffer(0),
        () => bind(null as never),
      ]) {
        expect(codeOf(call)).to.equal('ERR_INVALID_ARG_VALUE')
      }
      expect(() => socket.send(pattern(1), { ...to, port: 0 })).to.throw(
        'cannot send 1 bytes to 10.9.0.1:0: EINVAL',
      )
      expect(socket.counters.sent).to.equal(0)
    })

    it('TTL, TOS and source, of the socket and of one datagram', () => {
      const socket = bind({ ttl: 7, tos: 0x10 })
      const to = { address: PEER, port: 9 }
      socket.send(pattern(1), to)
      socket.send(pattern(1), to, { ttl: 9, tos: 0xb8, source: INNER })
      socket.setTtl(0).setTos(0)
      socket.send(pattern(1), to)
      expect(
        sent()
          .map(decode)
          .map(({ ttl, tos, src }) => [ttl, tos, src]),
      ).to.deep.equal([
        [7, 0x10, HOST],
        [9, 0xb8, INNER],
        [64, 0, HOST],
      ])
    })

    it('to 0.0.0.0 is to this host, as on Linux', () => {
      const socket = bind({ port: 6000 })
      socket.send(pattern(3), { address: '0.0.0.0', port: 6000 })
      bench().settle()
      expect(socket.receiveInto(new Uint8Array(9))).to.equal(3)
      expect(socket.received.address).to.equal('127.0.0.1')
    })

    it('broadcast: EACCES without the option', () => {
      const socket = bind()
      for (const address of ['255.255.255.255', '10.9.0.255']) {
        expect(codeOf(() => socket.send(pattern(1), { address, port: 9 }, { device: 'tun0' }))).to.equal(
          'EACCES',
        )
        expect(codeOf(() => socket.connect({ address: '10.9.0.255', port: 9 }))).to.equal('EACCES')
      }
      socket.setBroadcast(true)
      socket.send(pattern(1), { address: '10.9.0.255', port: 9 })
      bind({ broadcast: true, device: 'tun0' }).send(pattern(1), { address: '255.255.255.255', port: 9 })
      expect(
        sent()
          .map(decode)
          .map(({ dst }) => dst),
      ).to.deep.equal(['10.9.0.255', '255.255.255.255'])
    })

    it('the path MTU: each way to discover it', () => {
      const to = { address: PEER, port: 9 }
      const socket = bind({ port: 6000 })
      const outcome = (size: number): string => {
        const errno = socket.trySend(pattern(size), to)
        const packets = sent().map(decode)
        return errno === 90 ? 'EMSGSIZE' : packets.map(({ df }) => (df ? 'DF' : '-')).join(' ')
      }
      const outcomes = (): Record<string, string[]> =>
        Object.fromEntries(
          (['want', 'dont', 'do', 'probe', 'interface', 'omit'] as const).map((discovery) => {
            socket.setPathMtuDiscovery(discovery)
            return [discovery, [500, 1000, 2000].map(outcome)]
          }),
        )
      expect(outcomes()).to.deep.equal({
        want: ['DF', 'DF', '- -'],
        dont: ['-', '-', '- -'],
        do: ['DF', 'DF', 'EMSGSIZE'],
        probe: ['DF', 'DF', 'EMSGSIZE'],
        interface: ['-', '-', 'EMSGSIZE'],
        omit: ['-', '-', '- -'],
      })
      socket.setPathMtuDiscovery('want')
      socket.send(pattern(1000), to)
      const [quote] = sent()
      bench().exchange(bench().tun, icmp(TO_HOST, { type: 3, code: 4, word: 600 }, quote!.slice(0, 28)))
      socket.connect(to)
      expect(socket.pathMtu).to.equal(600)
      socket.disconnect()
      expect(outcomes()).to.deep.equal({
        want: ['DF', '- -', '- - - -'],
        dont: ['-', '- -', '- - - -'],
        do: ['DF', 'EMSGSIZE', 'EMSGSIZE'],
        probe: ['DF', 'DF', 'EMSGSIZE'],
        interface: ['-', '-', 'EMSGSIZE'],
        omit: ['-', '-', '- -'],
      })
      expect(codeOf(() => socket.pathMtu)).to.equal('ENOTCONN')
    })

    it('segments: one call, several datagrams', () => {
      const socket = bind({ port: 6000 })
      const to = { address: PEER, port: 9 }
      socket.send(pattern(1000), to, { segmentSize: 300 })
      expect(
        sent()
          .map(decode)
          .map(({ udp }) => udp!.data.length),
      ).to.deep.equal([300, 300, 300, 100])
      socket.send(pattern(300), to, { segmentSize: 300 })
      expect(sent()).to.have.length(1)
      expect(codeOf(() => socket.send(pattern(3000), to, { segmentSize: 1473 }))).to.equal('EMSGSIZE')
      expect(codeOf(() => socket.send(pattern(1290), to, { segmentSize: 10 }))).to.equal('EINVAL')
      socket.send(pattern(1280), to, { segmentSize: 10 })
      expect(sent()).to.have.length(128)
      const always = bind({ segmentSize: 700 })
      always.send(pattern(1400), to)
      expect(
        sent()
          .map(decode)
          .flatMap(({ udp }) => [...udp!.data]),
      ).to.deep.equal([...pattern(1400)])
    })

    it('segments over loopback, which cuts nothing: one packet, and the datagrams that were meant', async () => {
      const plain = bind({ port: 7000 })
      const merging = bind({ port: 7001, gro: true })
      const socket = bind()
      for (const { port } of [plain, merging]) {
        socket.send(pattern(1000), { address: INNER, port }, { segmentSize: 300 })
      }
      bench().settle()
      expect(bench().stack.loopback.stats.txPackets).to.equal(2)
      const lengths: number[] = []
      while (plain.waiting > 0) lengths.push((await plain.receive()).data.length)
      expect(lengths).to.deep.equal([300, 300, 300, 100])
      const { data, segmentSize } = await merging.receive()
      expect([data.length, segmentSize]).to.deep.equal([1000, 300])
      expect(bench().count('UdpInDatagrams')).to.equal(5)
    })

    it('a full device: EAGAIN, counted, and a promise for when there is room', async () => {
      const socket = bind()
      const to = { address: PEER, port: 9 }
      bench().tun.blocked = true
      let accepted = 0
      let code = ''
      while ((code = codeOf(() => socket.send(pattern(1), to))) === 'no error') accepted++
      expect(code).to.equal('EAGAIN')
      expect(accepted).to.be.within(900, 1100)
      expect(bench().count('UdpSndbufErrors')).to.equal(1)
      let writable = false
      const waiting = socket.writable(to).then(() => void (writable = true))
      const controller = new AbortController()
      const aborted = rejection(socket.writable(to, { signal: controller.signal }))
      controller.abort()
      expect((await aborted).name).to.equal('AbortError')
      expect(writable).to.equal(false)
      bench().tun.blocked = false
      bench().tun.host.wake()
      bench().settle()
      await waiting
      expect(sent()).to.have.length(accepted)
      await socket.writable(to)
      socket.send(pattern(1), to)
    })
  })

  describe('with a peer', () => {
    it('hears nobody else, and needs no address', async () => {
      const socket = bind({ port: 6000 })
      socket.connect({ address: PEER, port: 5000 })
      expect(socket.peer).to.deep.equal({ address: PEER, port: 5000 })
      expect(socket.address).to.equal(HOST)
      socket.send(Uint8Array.of(1, 2))
      expect(sent().map(decode)[0]).to.include({ src: HOST, dst: PEER })
      receive(6000, [1])
      expect((await socket.receive()).data[0]).to.equal(1)
      bench().expect(bench().tun, udp({ src: '10.9.0.7', dst: HOST }, { sport: 5000, dport: 6000 }), [
        { icmp: { type: 3, code: 3 } },
      ])
      bench().expect(bench().tun, udp(TO_HOST, { sport: 5001, dport: 6000 }), [
        { icmp: { type: 3, code: 3 } },
      ])
      bench().expect(bench().tun, udp({ src: PEER, dst: INNER }, { sport: 5000, dport: 6000 }), [
        { icmp: { type: 3, code: 3 } },
      ])
      socket.disconnect()
      expect([socket.address, socket.peer]).to.deep.equal(['0.0.0.0', undefined])
      receive(6000, [2], '10.9.0.7')
      expect((await socket.receive()).address).to.equal('10.9.0.7')
    })

    it('others on its port get the rest; its port stays its own', async () => {
      const any = bind({ port: 6000, reuseAddress: true })
      const peer = bind({ port: 6000, reuseAddress: true })
      peer.connect({ address: PEER, port: 5000 })
      receive(6000, [1])
      receive(6000, [2], '10.9.0.7')
      expect([peer.waiting, any.waiting]).to.deep.equal([1, 1])
      const third = bind({ port: 6000, reuseAddress: true })
      third.connect({ address: PEER, port: 5000 })
      receive(6000, [1])
      expect([peer.waiting, third.waiting], 'the latest hears the peer').to.deep.equal([1, 1])
      third.close()
      any.close()
      expect(codeOf(() => bind({ port: 6000 }))).to.equal('EADDRINUSE')
      receive(6000, [3])
      expect(peer.waiting, 'now that it is gone').to.equal(2)
      peer.connect({ address: PEER, port: 5001 })
      receive(6000, [4], PEER, HOST, 5001)
      expect(peer.waiting).to.equal(3)
      peer.close()
      bind({ port: 6000 })
    })

    it('dissolved it has no port until it sends or connects again', async () => {
      const socket = bind()
      const { port } = socket
      socket.connect({ address: PEER, port: 5000 })
      socket.dissolve()
      expect([socket.port, socket.peer]).to.deep.equal([0, undefined])
      receive(port, [1])
      expect(socket.waiting).to.equal(0)
      bind({ port }).close()
      socket.send(pattern(1), { address: PEER, port: 9 })
      expect(socket.port).to.be.greaterThan(0)
      receive(socket.port, [2])
      expect(socket.waiting).to.equal(1)
      socket.dissolve()
      socket.connect({ address: PEER, port: 5000 })
      receive(socket.port, [3])
      expect(socket.waiting).to.equal(2)
      socket.dissolve()
      socket.close()
    })

    it('says why it cannot be reached', () => {
      const socket = bind()
      bench().stack.routes.delete('default')
      expect(codeOf(() => socket.connect({ address: '192.0.2.1', port: 1 }))).to.equal('ENETUNREACH')
      expect(codeOf(() => socket.connect({ address: PEER, port: 70000 }))).to.equal('ERR_INVALID_ARG_VALUE')
      expect(socket.peer).to.equal(undefined)
    })
  })

  describe('errors of ICMP', () => {
    function fail(code: number, quote: Bytes, word = 0, type = 3): void {
      bench().exchange(bench().tun, icmp(TO_HOST, { type, code, word }, quote.slice(0, 28)))
    }

    it('icmp-to-udp: Port Unreachable fails the next call of a connected socket, once', async () => {
      const socket = bind({ port: 6000 })
      socket.connect({ address: PEER, port: 9 })
      const calls: (() => unknown)[] = [
        () => socket.send(pattern(1)),
        () => socket.receiveInto(new Uint8Array(1)),
      ]
      for (const call of calls) {
        socket.send(pattern(1))
        fail(3, sent()[0]!)
        expect(codeOf(call)).to.equal('ECONNREFUSED')
        expect(codeOf(call)).to.equal('no error')
      }
      socket.send(pattern(1))
      const quote = sent().at(-1)!
      const waiting = rejection(socket.receive())
      fail(3, quote)
      expect((await waiting).code).to.equal('ECONNREFUSED')
    })

    it('not of one without a peer, nor of one with another', () => {
      const socket = bind({ port: 6000 })
      socket.send(pattern(1), { address: PEER, port: 9 })
      const [quote] = sent()
      fail(3, quote!)
      expect(codeOf(() => socket.send(pattern(1), { address: PEER, port: 9 }))).to.equal('no error')
      sent()
      socket.connect({ address: PEER, port: 10 })
      const before = bench().count('IcmpInErrors')
      fail(3, quote!)
      expect(codeOf(() => socket.send(pattern(1)))).to.equal('no error')
      expect(bench().count('IcmpInErrors')).to.equal(before + 1)
    })

    it('udp-icmp-soft: what may pass is reported, and the socket stays usable', () => {
      const reports: UdpErrorReport[] = []
      const socket = bind({ port: 6000, onError: (report) => void reports.push(report) })
      socket.connect({ address: PEER, port: 9 })
      socket.send(pattern(1))
      const [quote] = sent()
      for (const code of [0, 1, 5, 11, 12]) fail(code, quote!)
      fail(0, quote!, 0, 11)
      expect(reports.map(({ code, icmp, fatal }) => [icmp.type, icmp.code, code, fatal])).to.deep.equal([
        [3, 0, 'ENETUNREACH', false],
        [3, 1, 'EHOSTUNREACH', false],
        [3, 5, 'EOPNOTSUPP', false],
        [3, 11, 'ENETUNREACH', false],
        [3, 12, 'EHOSTUNREACH', false],
        [11, 0, 'EHOSTUNREACH', false],
      ])
      expect(reports[0]).to.include({ address: PEER, port: 9, reporter: PEER })
      socket.send(pattern(1))
      receive(6000, [7], PEER, HOST, 9)
      expect(socket.receiveInto(new Uint8Array(1))).to.equal(1)
    })

    it('with receiveErrors each one fails the next call, connected or not, and is kept to be read', () => {
      const socket = bind({ port: 6000, receiveErrors: true })
      const to = { address: PEER, port: 9 }
      socket.send(pattern(1), to)
      const [quote] = sent()
      fail(1, quote!)
      expect(codeOf(() => socket.send(pattern(1), to))).to.equal('EHOSTUNREACH')
      expect(socket.readError()).to.deep.include({
        code: 'EHOSTUNREACH',
        address: PEER,
        port: 9,
        fatal: false,
      })
      expect(socket.readError()).to.equal(undefined)
      for (let i = 0; i < 150; i++) fail(3, quote!)
      let kept = 0
      while (socket.readError() !== undefined) kept++
      expect(kept, 'bounded').to.equal(100)
    })

    it('too big: EMSGSIZE for who discovers the path MTU, nothing for who does not', () => {
      for (const [discovery, expected] of [
        ['want', 'EMSGSIZE'],
        ['do', 'EMSGSIZE'],
        ['dont', 'no error'],
      ] as const) {
        const socket = bind({ pathMtuDiscovery: discovery })
        socket.connect({ address: PEER, port: 9 })
        socket.send(pattern(700))
        fail(4, sent()[0]!, 1000)
        expect(
          codeOf(() => socket.send(pattern(1))),
          discovery,
        ).to.equal(expected)
        socket.close()
        sent()
      }
    })

    it('finds the socket that is bound to the device that the error came by', () => {
      const socket = bind({ port: 6000, device: 'tun0' })
      socket.connect({ address: PEER, port: 9 })
      socket.send(pattern(1))
      fail(3, sent()[0]!)
      expect(codeOf(() => socket.send(pattern(1)))).to.equal('ECONNREFUSED')
    })
  })

  describe('who gets it', () => {
    it('SO_REUSEADDR: the latest; SO_REUSEPORT: by flow, always the same', () => {
      const first = bind({ port: 6000, reuseAddress: true })
      const second = bind({ port: 6000, reuseAddress: true })
      receive(6000, [1])
      expect([first.waiting, second.waiting]).to.deep.equal([0, 1])
      expect(codeOf(() => bind({ port: 6000 }))).to.equal('EADDRINUSE')
      expect(codeOf(() => bind({ port: 6000, reusePort: true }))).to.equal('EADDRINUSE')

      const group = Array.from({ length: 4 }, () => bind({ port: 7000, reusePort: true }))
      for (let round = 0; round < 2; round++) {
        for (let sport = 2000; sport < 2100; sport++) receive(7000, [1], PEER, HOST, sport)
      }
      const shares = group.map(({ waiting }) => waiting)
      expect(shares.reduce((sum, n) => sum + n, 0)).to.equal(200)
      for (const share of shares) {
        expect(share).to.be.within(20, 90)
        expect(share % 2, 'both rounds went the same way').to.equal(0)
      }
    })

    it('bound to a device: only what comes by it, and it leaves by it', async () => {
      const other = bench().wire('tun1', '10.8.0.2/24')
      const one = bind({ port: 6000, device: 'tun1' })
      const two = bind({ port: 6000, device: 'tun0' })
      receive(6000, [1])
      bench().exchange(other, udp({ src: '10.8.0.1', dst: '10.8.0.2' }, { dport: 6000 }, [2]))
      expect([one.waiting, two.waiting]).to.deep.equal([1, 1])
      expect((await one.receive()).device).to.equal('tun1')
      one.send(pattern(1), { address: '192.0.2.7', port: 9 })
      bench().settle()
      expect(other.take().map(decode)[0]).to.include({ src: '10.8.0.2', dst: '192.0.2.7' })
      expect(codeOf(() => bind({ device: 'tun7' }))).to.equal('ENODEV')
      await bench().stack.interface('tun1').remove()
      expect(codeOf(() => one.send(pattern(1), { address: '192.0.2.7', port: 9 }))).to.equal('ENODEV')
    })

    it('broadcast and groups go to all whom they concern', () => {
      const sockets = {
        any: bind({ port: 6000, reuseAddress: true }),
        unicast: bind({ port: 6000, reuseAddress: true, address: HOST }),
        broadcast: bind({ port: 6000, reuseAddress: true, address: '10.9.0.255' }),
        group: bind({ port: 6000, reuseAddress: true, address: '224.5.5.5' }),
        own: bind({ port: 6000, reuseAddress: true, multicastAll: false }),
        peer: bind({ port: 6000, reuseAddress: true }),
      }
      sockets.peer.connect({ address: '10.9.0.9', port: 5000 })
      const waiting = (): string =>
        Object.entries(sockets)
          .filter(([, socket]) => {
            const got = socket.waiting > 0
            while (socket.receiveInto(new Uint8Array(9)) >= 0) {}
            return got
          })
          .map(([name]) => name)
          .join(' ')
      receive(6000, [1], PEER, '10.9.0.255')
      expect(waiting()).to.equal('any broadcast own')
      sockets.group.joinGroup('224.5.5.5', { device: 'tun0' })
      receive(6000, [1], PEER, '224.5.5.5')
      expect(waiting()).to.equal('any group')
      sockets.own.joinGroup('224.5.5.5')
      receive(6000, [1], PEER, '224.5.5.5')
      expect(waiting()).to.equal('any group own')
      sockets.group.leaveGroup('224.5.5.5')
      sockets.own.close()
      receive(6000, [1], PEER, '224.5.5.5')
      sockets.own = bind({ port: 6001 })
      expect(waiting(), 'nobody is in it any more').to.equal('')
    })
  })

  describe('groups', () => {
    it('ip-mcast-ttl: sent with TTL 1 unless told otherwise', () => {
      const socket = bind()
      const to = { address: '224.5.5.5', port: 9 }
      socket.send(pattern(1), to)
      socket.setMulticastTtl(5)
      socket.send(pattern(1), to)
      socket.send(pattern(1), to, { ttl: 9 })
      socket.setMulticastTtl(0)
      socket.send(pattern(1), to)
      socket.send(pattern(1), { address: PEER, port: 9 })
      expect(
        sent()
          .map(decode)
          .map(({ ttl }) => ttl),
      ).to.deep.equal([1, 5, 9, 64])
    })

    it('heard by members on this host, unless the loop is off', () => {
      const member = bind({ port: 6000 }).joinGroup('224.5.5.5')
      const socket = bind()
      const to = { address: '224.5.5.5', port: 6000 }
      socket.send(pattern(1), to)
      bench().settle()
      expect(member.waiting).to.equal(1)
      socket.setMulticastLoop(false)
      socket.send(pattern(1), to)
      bench().settle()
      expect(member.waiting).to.equal(1)
      expect(sent()).to.have.length(2)
    })

    it('nobody sends from one, nor from a broadcast address, though bound to it', () => {
      for (const address of ['224.5.5.5', '10.9.0.255', '255.255.255.255']) {
        const socket = bind({ address })
        socket.send(pattern(1), { address: PEER, port: 9 })
        expect(sent().map(decode)[0]).to.include({ src: HOST })
        socket.connect({ address: PEER, port: 9 })
        socket.send(pattern(1))
        expect(sent().map(decode)[0]).to.include({ src: HOST })
        socket.close()
      }
      for (const address of ['192.0.2.1', '10.9.0.77', '0.0.0.1']) {
        expect(
          codeOf(() => bind({ address })),
          address,
        ).to.equal('EADDRNOTAVAIL')
      }
    })

    it('leave by the device that was named', async () => {
      const other = bench().wire('tun1', '10.8.0.2/24')
      const socket = bind({ multicastDevice: 'tun1' })
      socket.send(pattern(1), { address: '224.5.5.5', port: 9 })
      bench().settle()
      expect(other.take().map(decode)[0]).to.include({ src: '10.8.0.2' })
      socket.setMulticastDevice(null)
      socket.send(pattern(1), { address: '224.5.5.5', port: 9 })
      expect(sent()).to.have.length(1)
      expect(codeOf(() => socket.setMulticastDevice('tun9'))).to.equal('ENODEV')
    })

    it('are joined once each, as many as the sysctl says', () => {
      const socket = bind()
      socket.joinGroup('224.5.5.5')
      expect(codeOf(() => socket.joinGroup('224.5.5.5'))).to.equal('EADDRINUSE')
      expect(codeOf(() => socket.joinGroup('10.1.1.1'))).to.equal('ERR_INVALID_ARG_VALUE')
      expect(codeOf(() => socket.joinGroup('224.5.5.6', { device: 'tun7' }))).to.equal('ENODEV')
      expect(codeOf(() => socket.leaveGroup('224.5.5.7'))).to.equal('EADDRNOTAVAIL')
      for (let i = 1; i < 20; i++) socket.joinGroup(`224.6.0.${i}`)
      expect(codeOf(() => socket.joinGroup('224.7.7.7'))).to.equal('ENOBUFS')
      socket.leaveGroup('224.5.5.5')
      socket.joinGroup('224.7.7.7')
    })

    it('are heard from single sources, if they were joined so', () => {
      const socket = bind({ port: 6000 }).joinGroup('224.5.5.5', { source: PEER })
      const any = bind({ port: 6001 }).joinGroup('224.5.5.5')
      const hear = (from: string): number[] => {
        for (const port of [6000, 6001]) receive(port, [1], from, '224.5.5.5')
        return [socket.waiting, any.waiting]
      }
      expect(hear(PEER)).to.deep.equal([1, 1])
      expect(hear('10.9.0.7')).to.deep.equal([1, 2])
      socket.joinGroup('224.5.5.5', { source: '10.9.0.7' })
      expect(hear('10.9.0.7')).to.deep.equal([2, 3])
      const join = (source: string) => codeOf(() => socket.joinGroup('224.5.5.5', { source }))
      const leave = (source: string) => codeOf(() => socket.leaveGroup('224.5.5.5', { source }))
      expect(join(PEER)).to.equal('EADDRNOTAVAIL')
      for (let i = 20; i < 28; i++) join(`10.9.0.${i}`)
      expect(join('10.9.0.28')).to.equal('ENOBUFS')
      for (let i = 20; i < 28; i++) leave(`10.9.0.${i}`)
      expect(leave('10.9.0.20')).to.equal('EADDRNOTAVAIL')
      expect([leave(PEER), leave('10.9.0.7')]).to.deep.equal(['no error', 'no error'])
      expect(leave(PEER)).to.equal('EINVAL')
      expect(codeOf(() => socket.joinGroup('10.1.1.1', { source: PEER }))).to.equal('ERR_INVALID_ARG_VALUE')
      any.leaveGroup('224.5.5.5')
      expect(hear(PEER), 'the host has left').to.deep.equal([2, 3])
    })

    it('survive the device that they were joined on', async () => {
      bench().wire('tun1', '10.8.0.2/24')
      const socket = bind().joinGroup('224.5.5.5', { device: 'tun1' })
      await bench().stack.interface('tun1').remove()
      socket.leaveGroup('224.5.5.5')
      socket.joinGroup('224.5.5.5')
    })
  })

  it('in a simulated network: a request is asked again until it is answered', async () => {
    const net = simulate({ seed: 5 })
    const client = net.host('10.0.0.1/24')
    const server = net.host('10.0.0.2/24')
    net.link(client, server, { delay: '10ms', loss: 0.5 })
    const answering = server.udp.bind({
      port: 53,
      onMessage: ({ data, address, port, to }) => answering.send(data, { address, port }, { source: to }),
    })
    const tries = await net.run(async () => {
      const socket = client.udp.bind()
      socket.connect({ address: '10.0.0.2', port: 53 })
      for (let n = 1; ; n++) {
        socket.send(Uint8Array.of(n))
        await Promise.race([socket.readable(), net.sleep('1s')])
        if (socket.waiting > 0) return n
      }
    })
    expect(tries).to.be.greaterThan(1)
    await net.close()
  })

  it('two stacks on a pipe, in real time', async () => {
    const [left, right] = createPipe()
    const a = new Stack()
    const b = new Stack()
    a.addDevice(left).addAddress('10.7.0.1/24')
    b.addDevice(right).addAddress('10.7.0.2/24')
    const server = b.udp.bind({ port: 7 })
    const client = a.udp.bind()
    client.connect({ address: '10.7.0.2', port: 7 })
    const serving = (async () => {
      for await (const { data, address, port } of server) server.send(data, { address, port })
    })()
    for (let i = 0; i < 10; i++) {
      client.send(Uint8Array.of(i))
      expect((await client.receive()).data[0]).to.equal(i)
    }
    await Promise.all([a.close(), b.close()])
    await serving
  })
})
