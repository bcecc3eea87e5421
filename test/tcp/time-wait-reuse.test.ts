/** Connecting again from a four-tuple in TIME-WAIT: `tcp_tw_reuse`, as Linux's `tcp_twsk_unique`. */
import { expect } from 'chai'
import type { Stack } from '../../lib/index.ts'
import { type Host, type Link, type Simulation, simulate } from '../../lib/sim/index.ts'
import { content, readAll } from './pair.ts'

describe('TIME-WAIT of one who connects', () => {
  let net: Simulation
  let a: Host
  let b: Host
  let link: Link

  beforeEach(() => {
    net = simulate({ seed: 1 })
    a = net.host('10.0.0.1/24')
    b = net.host('10.0.0.2/24')
    link = net.link(a, b, { delay: '1ms' })
    a.sysctlSet('net.ipv4.ip_local_port_range', '40000 40000') // one port
  })
  afterEach(() => net.close())

  /** Connects, sends a little, and closes first. Gives the error's code, or `null`. */
  async function talk(address = '10.0.0.2', localPort = 0, to: Stack = b): Promise<string | null> {
    const listener = to.tcp.listen({ port: 80 })
    try {
      const accepted = listener.accept()
      accepted.catch(() => {})
      const client = await a.tcp.connect({ address, port: 80, localPort })
      const server = await accepted
      const received = readAll(server)
      await client.write(content(3000))
      await client.close()
      expect((await received).length).to.equal(3000)
      await server.close()
      expect(client.state).to.be.oneOf(['TIME_WAIT', 'FIN_WAIT_2'])
      await net.sleep('20ms')
      return null
    } catch (error) {
      if ((error as { code?: string }).code === undefined) throw error
      return (error as { code: string }).code
    } finally {
      await listener.close()
    }
  }

  const recycled = (): number => a.mib.get('TcpExtTWRecycled')!

  it('2, the default: not to another host', async () => {
    await net.run(async () => {
      expect(await talk()).to.equal(null)
      await net.sleep('30s')
      expect(await talk()).to.equal('EADDRNOTAVAIL')
      await net.sleep('31s')
      expect(await talk()).to.equal(null)
      expect(recycled()).to.equal(0)
    })
  })

  it('2, the default: over loopback, after tcp_tw_reuse_delay', async () => {
    await net.run(async () => {
      expect(await talk('127.0.0.1', 0, a)).to.equal(null)
      await net.sleep('900ms')
      expect(await talk('127.0.0.1', 0, a)).to.equal('EADDRNOTAVAIL')
      await net.sleep('150ms')
      expect(await talk('127.0.0.1', 0, a)).to.equal(null)
      expect(recycled()).to.equal(1)
    })
  })

  it('1: to anybody, after the delay; the numbers go on where they were, the timestamp is echoed (RFC 6191)', async () => {
    a.sysctlSet('net.ipv4.tcp_tw_reuse', 1)
    a.sysctlSet('net.ipv4.tcp_tw_reuse_delay', 3000)
    await net.run(async () => {
      expect(await talk()).to.equal(null)
      await net.sleep('2900ms')
      expect(await talk()).to.equal('EADDRNOTAVAIL')
      await net.sleep('150ms')
      for (let i = 1; i <= 3; i++) {
        expect(await talk()).to.equal(null)
        expect(recycled()).to.equal(i)
        expect(a.tcp.usage.tw).to.equal(1)
        await net.sleep('3s')
      }
    })
    const syns = link.packets
      .filter(({ from, bytes }) => from === a && (bytes[33]! & 0x12) === 2)
      .map(({ bytes }) => new DataView(bytes.buffer, bytes.byteOffset + 20))
    expect(syns).to.have.length(4)
    for (let i = 1; i < 4; i++) {
      // SYN, 3000 bytes, FIN; and 65537.
      expect((syns[i]!.getUint32(4) - syns[i - 1]!.getUint32(4)) | 0).to.equal(3002 + 65537)
      // MSS, SACK permitted, then the timestamps.
      expect(syns[i]!.getUint8(26)).to.equal(8)
      expect(syns[i]!.getUint32(32)).to.not.equal(0)
    }
    expect(syns[0]!.getUint32(32)).to.equal(0)
  })

  it('0: never', async () => {
    a.sysctlSet('net.ipv4.tcp_tw_reuse', 0)
    await net.run(async () => {
      expect(await talk('127.0.0.1', 0, a)).to.equal(null)
      await net.sleep('50s')
      expect(await talk('127.0.0.1', 0, a)).to.equal('EADDRNOTAVAIL')
    })
  })

  it('never without timestamps: nothing would tell an old segment', async () => {
    a.sysctlSet('net.ipv4.tcp_tw_reuse', 1)
    a.sysctlSet('net.ipv4.tcp_timestamps', 0)
    await net.run(async () => {
      expect(await talk()).to.equal(null)
      await net.sleep('50s')
      expect(await talk()).to.equal('EADDRNOTAVAIL')
      expect(await talk('10.0.0.2', 40_000)).to.equal('EADDRINUSE')
    })
  })

  it('who asks for the port itself gets it at once, as with SO_REUSEADDR', async () => {
    await net.run(async () => {
      for (let i = 0; i < 3; i++) expect(await talk('10.0.0.2', 40_000)).to.equal(null)
      expect(recycled()).to.equal(2)
    })
  })

  it('tcp_max_tw_buckets: beyond it the port is free at once', async () => {
    a.sysctlSet('net.ipv4.tcp_max_tw_buckets', 0)
    await net.run(async () => {
      expect(await talk()).to.equal(null)
      expect(await talk()).to.equal(null)
      expect(a.mib.get('TcpExtTCPTimeWaitOverflow')).to.equal(2)
    })
  })
})
