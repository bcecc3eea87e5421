import { expect } from 'chai'
import { HOST, HostBench, PEER, useBench } from '../conformance/harness.ts'
import { icmp } from '../conformance/packets.ts'
import { tick } from './pair.ts'
import { accepted, codeOf, connected, dialled, RawPeer, segment, synOptions } from './raw-peer.ts'

describe('TCP handshake', () => {
  const bench = useBench(() => new HostBench())

  describe('of a listener', () => {
    it('tcp-syn, tcp-ws, tcp-ts: answers what was offered, and nothing else', () => {
      bench().stack.tcp.listen({ port: 80 })
      const full = new RawPeer(bench(), 80)
      const answer = full.open({ mss: 1400, windowScale: 3, sackPermitted: true, timestamps: true })
      expect(answer.window).to.equal(65160) // 45 segments of 1448, as Linux offers
      expect(answer.options).to.include({ mss: 1460, windowScale: 10, sackPermitted: true, timestamps: true })
      expect(answer.options.tsEcho).to.equal(1000)
      const bare = new RawPeer(bench(), 80, 41001)
      expect(bare.open({}).options).to.include({ windowScale: -1, sackPermitted: false, timestamps: false })
    })

    it('tcp-syn-dup: the same SYN gets the same answer, at a limited pace', () => {
      bench().stack.tcp.listen({ port: 80 })
      const peer = new RawPeer(bench(), 80)
      const [first] = peer.send({ flags: 'S' })
      expect(peer.send({ flags: 'S' })[0]).to.deep.equal(first)
      expect(peer.send({ flags: 'S' })).to.have.length(0) // within half a second
      expect(bench().count('TcpExtTCPACKSkippedSynRecv')).to.equal(1)
    })

    it('tcp-synrcvd-badack, tcp-synrcvd-rst-oow, tcp-synrcvd-rst: what does not belong there', async () => {
      const server = bench().stack.tcp.listen({ port: 80 })
      const peer = new RawPeer(bench(), 80)
      peer.theirs = peer.send({ flags: 'S' })[0]!.seq
      expect(peer.send({ seq: 1, ack: 99 })[0]).to.include({ flags: 'R', seq: 99 })
      expect(peer.send({ flags: 'R', seq: 70_000 })).to.have.length(0)
      expect(peer.send({ seq: 1, ack: 1 })).to.have.length(0)
      const socket = await server.accept()
      expect(socket.state).to.equal('ESTABLISHED')

      const other = new RawPeer(bench(), 80, 41001)
      other.theirs = other.send({ flags: 'S' })[0]!.seq
      expect(other.send({ flags: 'R', seq: 1 })).to.have.length(0)
      expect(other.send({ seq: 1, ack: 1 })[0]).to.include({ flags: 'R', seq: 1 })
      expect(bench().count('TcpExtEmbryonicRsts')).to.equal(1)
      expect(bench().count('TcpAttemptFails')).to.equal(1)
    })

    it('tcp-synrcvd-fin, tcp-ackdata: the last ACK may carry data and FIN', async () => {
      const server = bench().stack.tcp.listen({ port: 80 })
      const peer = new RawPeer(bench(), 80)
      peer.theirs = peer.send({ flags: 'S' })[0]!.seq
      expect(peer.send({ flags: 'FA', seq: 1, ack: 1, data: [1, 2, 3] })).to.have.length(0)
      bench().pass(40)
      expect(peer.take()[0]).to.include({ flags: 'A', ack: 5 })
      const socket = await server.accept()
      expect(socket.state).to.equal('CLOSE_WAIT')
      const target = new Uint8Array(10)
      expect(await socket.readInto(target)).to.equal(3)
      expect(await socket.readInto(target)).to.equal(0)
    })

    it('tcp-syn-data: bytes of a SYN are delivered once, when they come again', async () => {
      const server = bench().stack.tcp.listen({ port: 80 })
      const peer = new RawPeer(bench(), 80)
      const [answer] = peer.send({ flags: 'S', data: [1, 2, 3, 4, 5] })
      expect(answer).to.include({ flags: 'SA', ack: 1 })
      peer.theirs = answer!.seq
      peer.send({ seq: 1, ack: 1, data: [1, 2, 3, 4, 5] })
      const socket = await server.accept()
      expect(socket.readableLength).to.equal(5)
    })

    it('sends SYN-ACK again after 1, 3, 7, 15 and 31 s, then forgets', () => {
      bench().stack.tcp.listen({ port: 80 })
      const peer = new RawPeer(bench(), 80)
      const [first] = peer.send({ flags: 'S' })
      const times: number[] = []
      for (let second = 1; second <= 70; second++) {
        bench().pass(1000)
        for (const sent of peer.take()) {
          expect(sent).to.include({ flags: 'SA', seq: first!.seq })
          times.push(second)
        }
      }
      expect(times).to.deep.equal([1, 3, 7, 15, 31])
      peer.theirs = first!.seq
      expect(peer.send({ seq: 1, ack: 1 })[0]).to.include({ flags: 'R' })
    })

    it('tcp-backlog: what does not fit is dropped, not refused', async () => {
      const server = bench().stack.tcp.listen({ port: 80, backlog: 2 })
      const peers = [0, 1, 2, 3, 4].map((i) => new RawPeer(bench(), 80, 42000 + i))
      for (const peer of peers.slice(0, 3)) peer.open()
      expect(peers[3]!.send({ flags: 'S' })).to.have.length(0)
      expect(bench().count('TcpExtListenOverflows')).to.equal(1)
      expect(bench().count('TcpExtListenDrops')).to.equal(1)
      const socket = await server.accept()
      expect(socket.remotePort).to.equal(42000)
      peers[4]!.open()
    })

    it('hardening-12: half-open connections are bounded', () => {
      bench().stack.sysctlSet('net.ipv4.tcp_syncookies', 0)
      bench().stack.tcp.listen({ port: 80, backlog: 10 })
      let answers = 0
      for (let i = 0; i < 100; i++) answers += new RawPeer(bench(), 80, 42000 + i).send({ flags: 'S' }).length
      expect(answers).to.equal(11)
      expect(bench().count('TcpExtTCPReqQFullDrop')).to.equal(89)
      bench().pass(70_000)
      bench().tun.take()
      new RawPeer(bench(), 80, 43000).open()
    })

    it('hardening-12: and so they are by tcp_max_syn_backlog', () => {
      bench().stack.sysctlSet('net.ipv4.tcp_syncookies', 0)
      bench().stack.sysctlSet('net.ipv4.tcp_max_syn_backlog', 16)
      bench().stack.tcp.listen({ port: 80 })
      let answers = 0
      for (let i = 0; i < 50; i++) answers += new RawPeer(bench(), 80, 42000 + i).send({ flags: 'S' }).length
      expect(answers).to.equal(13)
      expect(bench().count('TcpExtListenDrops')).to.equal(37)
    })

    it('tcp-isn, tcp-isn-sametuple, tcp-iss-clock, hardening-4: numbers that tell nothing, and grow', () => {
      bench().stack.tcp.listen({ port: 80 })
      const numbers = Array.from(
        { length: 12 },
        (_, i) => new RawPeer(bench(), 80, 42000 + i).send({ flags: 'S' })[0]!.seq,
      )
      const steps = new Set(numbers.slice(1).map((seq, i) => (seq - numbers[i]!) >>> 0))
      expect(steps.size).to.equal(11)
      const peer = new RawPeer(bench(), 80, 43000)
      const [first] = peer.send({ flags: 'S' })
      peer.send({ flags: 'R', seq: 1 })
      bench().pass(1000)
      bench().tun.take()
      const [second] = peer.send({ flags: 'S' })
      expect((second!.seq - first!.seq) | 0).to.equal(1e9 / 64)
    })
  })

  describe('of a client', () => {
    it('dial-open: SYN with all options, then the handshake', async () => {
      const { syn, socket, peer } = await connected(bench(), {
        mss: 1400,
        windowScale: 2,
        sackPermitted: true,
        timestamps: true,
      })
      expect(syn.options).to.include({ mss: 1460, windowScale: 10, sackPermitted: true, timestamps: true })
      expect(syn.window).to.equal(64240)
      expect(socket).to.include({
        state: 'ESTABLISHED',
        remoteAddress: PEER,
        remotePort: 7000,
        localAddress: HOST,
      })
      await socket.write(new Uint8Array([9]))
      expect(peer.take()[0]).to.include({ flags: 'PA', seq: 1, ack: 1 })
      expect(socket.info).to.include({
        options: 7,
        snd_wscale: 2,
        rcv_wscale: 10,
        advmss: 1460,
        snd_mss: 1388,
      })
    })

    it('dial-noopts: segments of 536 bytes, no options', async () => {
      const { socket, peer } = await connected(bench(), {})
      await socket.write(new Uint8Array(2000))
      const sent = peer.take()
      expect(sent.map(({ data }) => data.length)).to.deep.equal([536, 536, 536, 392])
      expect(sent.every(({ size, data }) => size === data.length + 40)).to.equal(true)
    })

    it('dial-rst: refused at once', async () => {
      const { peer, opening } = await dialled(bench())
      expect(peer.send({ flags: 'RA', ack: 1 })).to.have.length(0)
      expect(await codeOf(opening)).to.equal('ECONNREFUSED')
      expect(bench().count('TcpAttemptFails')).to.equal(1)
    })

    it('dial-rst-badack, dial-badack, dial-ack-only: what is not the answer', async () => {
      const { peer, opening } = await dialled(bench())
      expect(peer.send({ flags: 'RA', ack: 0 })).to.have.length(0)
      expect(peer.send({ flags: 'RA', ack: 2 })).to.have.length(0)
      expect(peer.send({ flags: 'R' })).to.have.length(0)
      expect(peer.send({ flags: 'SA', ack: 2 })[0]).to.include({ flags: 'R', seq: 2 })
      expect(peer.send({ flags: 'A', ack: 1 })).to.have.length(0)
      expect(peer.send({ flags: 'SA', ack: 1 })[0]).to.include({ flags: 'A', ack: 1, seq: 1 })
      expect((await opening).state).to.equal('ESTABLISHED')
    })

    it('dial-simopen: two SYNs cross', async () => {
      const { peer, syn, opening } = await dialled(bench())
      const [answer] = peer.send({ flags: 'S', options: synOptions({ mss: 1460 }) })
      expect(answer).to.include({ flags: 'SA', seq: 0, ack: 1 })
      expect(answer!.seq).to.equal(0)
      expect(syn.flags).to.equal('S')
      peer.send({ flags: 'SA', seq: 0, ack: 1 })
      const socket = await opening
      expect(socket.state).to.equal('ESTABLISHED')
      peer.send({ seq: 1, ack: 1, data: [1, 2] })
      expect(socket.readableLength).to.equal(2)
    })

    it('dial-synack-dup: the SYN-ACK again is answered, and does nothing', async () => {
      const { peer, socket } = await connected(bench())
      expect(peer.send({ flags: 'SA', ack: 1 })[0]).to.include({ flags: 'A', ack: 1 })
      expect(socket).to.include({ state: 'ESTABLISHED', readableLength: 0 })
    })

    it('dial-syn-rexmit, tcp-syn-r2: SYNs at Linux’s times, then ETIMEDOUT after 131 s', async () => {
      const { peer, opening } = await dialled(bench())
      const times: number[] = []
      let code: unknown
      void codeOf(opening).then((got) => {
        code = got
      })
      for (let second = 1; second <= 131; second++) {
        expect(code).to.equal(undefined)
        bench().pass(1000)
        for (const sent of peer.take()) {
          expect(sent).to.include({ flags: 'S', seq: 0 })
          times.push(second)
        }
        await tick()
      }
      expect(times).to.deep.equal([1, 2, 3, 4, 5, 7, 11, 19, 35, 67])
      expect(code).to.equal('ETIMEDOUT')
    })

    it('dial-icmp-soft, dial-icmp-badseq: as Linux, an error about the SYN ends the attempt, if its number is right', async () => {
      const { peer, syn, opening } = await dialled(bench())
      const quote = (seq: number) =>
        segment({ flags: 'S', seq, sport: syn.sport, dport: 7000, src: HOST, dst: PEER }).subarray(0, 28)
      const unreachable = (seq: number) => icmp({ src: PEER, dst: HOST }, { type: 3, code: 1 }, quote(seq))
      bench().tun.push(unreachable(peer.theirs + 1000))
      bench().settle()
      expect(bench().count('TcpExtOutOfWindowIcmps')).to.equal(1)
      bench().tun.push(unreachable(peer.theirs))
      bench().settle()
      expect(await codeOf(opening)).to.equal('EHOSTUNREACH')
    })

    it('dial-ports, hardening-6: ports that cannot be told in advance', async () => {
      const ports: number[] = []
      for (let i = 0; i < 10; i++) {
        const { syn } = await dialled(bench(), { port: 8000 + i })
        ports.push(syn.sport)
      }
      expect(new Set(ports.slice(1).map((port, i) => port - ports[i]!)).size).to.be.above(5)
      for (const port of ports) expect(port).to.be.within(32768, 60999)
    })

    it('says why it cannot begin', async () => {
      const { tcp, routes } = bench().stack
      expect(await codeOf(tcp.connect({ address: PEER, port: 0 }))).to.equal('ERR_INVALID_ARG_VALUE')
      expect(await codeOf(tcp.connect({ address: 'nowhere', port: 1 }))).to.equal('ERR_INVALID_ARG_VALUE')
      expect(await codeOf(tcp.connect({ address: PEER, port: 1, localAddress: '192.0.2.1' }))).to.equal(
        'EADDRNOTAVAIL',
      )
      expect(await codeOf(tcp.connect({ address: PEER, port: 1, device: 'eth9' }))).to.equal('ENODEV')
      expect(await codeOf(tcp.connect({ address: '10.9.0.255', port: 1 }))).to.equal('ENETUNREACH')
      routes.delete(`default via ${PEER} dev tun0`)
      expect(await codeOf(tcp.connect({ address: '192.0.2.1', port: 1 }))).to.equal('ENETUNREACH')
      tcp.listen({ port: 80 })
      expect(await codeOf(tcp.connect({ address: PEER, port: 1, localPort: 80 }))).to.equal('EADDRINUSE')
      expect(() => tcp.listen({ port: 80 }))
        .to.throw()
        .with.property('code', 'EADDRINUSE')
      expect(() => tcp.listen({ port: 81, address: '192.0.2.1' }))
        .to.throw()
        .with.property('code', 'EADDRNOTAVAIL')
    })

    it('is given up by a signal', async () => {
      const controller = new AbortController()
      const { opening } = await dialled(bench(), { signal: controller.signal })
      controller.abort(new Error('enough'))
      const error = await opening.catch((reason: unknown) => reason)
      expect(error).to.be.instanceOf(Error).with.property('message', 'enough')
      bench().pass(5000)
      expect(bench().tun.take()).to.have.length(0)
    })
  })

  describe('of a catch-all listener', () => {
    it('asks the program before anything is answered', async () => {
      bench().stack.routes.add('local 198.51.100.0/24 dev lo')
      const all = bench().stack.tcp.listenAll()
      const requests = all[Symbol.asyncIterator]()
      const dst = '198.51.100.9'
      bench().tun.push(segment({ flags: 'S', dst, dport: 443, seq: 100, options: synOptions({ mss: 1460 }) }))
      bench().settle()
      expect(bench().tun.take()).to.have.length(0)
      const request = (await requests.next()).value!
      expect(request).to.include({
        localAddress: dst,
        localPort: 443,
        remoteAddress: PEER,
        remotePort: 41000,
      })
      const opening = request.accept()
      bench().settle()
      const [answer] = bench().tun.take()
      expect(answer).to.not.equal(undefined)
      const theirs = new DataView(answer!.buffer).getUint32(24)
      bench().tun.push(segment({ dst, dport: 443, seq: 101, ack: theirs + 1, data: [7] }))
      bench().settle()
      const socket = await opening
      expect(socket).to.include({
        localAddress: dst,
        localPort: 443,
        state: 'ESTABLISHED',
        readableLength: 1,
      })
    })

    it('refuses, or says nothing', async () => {
      const all = bench().stack.tcp.listenAll()
      const requests = all[Symbol.asyncIterator]()
      const peer = new RawPeer(bench(), 81)
      peer.send({ flags: 'S' })
      ;(await requests.next()).value!.refuse()
      expect(peer.take()[0]).to.include({ flags: 'RA', ack: 1 })
      peer.send({ flags: 'S' })
      ;(await requests.next()).value!.ignore()
      expect(peer.take()).to.have.length(0)
      const pending = requests.next()
      await all.close()
      expect((await pending).done).to.equal(true)
      expect(peer.send({ flags: 'S' })[0]).to.include({ flags: 'RA' })
    })

    it('tells who accepted that the peer has gone', async () => {
      const requests = bench().stack.tcp.listenAll()[Symbol.asyncIterator]()
      const peer = new RawPeer(bench(), 81)
      peer.send({ flags: 'S' })
      const opening = (await requests.next()).value!.accept()
      bench().settle()
      peer.theirs = peer.take()[0]!.seq
      peer.send({ flags: 'R', seq: 1 })
      expect(await codeOf(opening)).to.equal('ECONNABORTED')
    })
  })

  it('leaves an accepted connection alone when the server closes, and resets those that nobody accepted', async () => {
    const { peer, server, socket } = await accepted(bench())
    const waiting = new RawPeer(bench(), 80, 41001)
    waiting.open()
    const pending = server.accept().catch((error: { code?: unknown }) => error.code)
    await tick()
    const third = new RawPeer(bench(), 80, 41002)
    third.open()
    await server.close()
    expect(third.take().map(({ flags }) => flags)).to.deep.equal(['RA'])
    await pending
    expect(socket.state).to.equal('ESTABLISHED')
    expect(peer.send({ seq: 1, ack: 1, data: [1] })[0]?.flags).to.equal('A')
    expect(third.send({ seq: 1, ack: 1, data: [1] })[0]?.flags).to.equal('R')
  })
})
