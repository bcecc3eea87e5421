/** The stream of packets over a real device. */
import { once } from 'node:events'
import { Transform } from 'node:stream'
import { expect } from 'chai'
import type { TunstackError } from '../../../../lib/errors.ts'
import { Tun } from '../../../../lib/node/tuntap2.ts'
import { ip, kernelSocket, ping, STACK, sleep, udpPacket, until } from '../bench.ts'

const PORT = 4000

function opened(): Tun {
  const tun = new Tun()
  tun.mtu = 1400
  tun.ipv4 = '10.9.0.1/24'
  tun.isUp = true
  return tun
}

export const tuntap2: Record<string, () => Promise<void>> = {
  async 'tuntap2: properties'() {
    const tun = new Tun()
    expect(tun).to.include({ name: 'tun0', isUp: false, isTun: true, isTap: false, ipv4: null, mtu: 1500 })
    tun.mtu = 1400
    tun.ipv4 = '10.0.0.100/24'
    tun.isUp = true
    expect(tun).to.include({ mtu: 1400, ipv4: '10.0.0.100/24', isUp: true })
    expect(ip('addr', 'show', 'tun0')).to.match(/UP.*mtu 1400 .*\n.*\n +inet 10\.0\.0\.100\/24/)
    tun.isUp = false
    expect(tun.isUp).to.equal(false)
    await new Promise<void>((resolve) => tun.release(() => resolve()))
    expect(ip('-br', 'link')).to.not.contain('tun0')
    expect(() => tun.mtu)
      .to.throw()
      .with.property('code', 'ERR_TUN_CLOSED')
  },

  async 'tuntap2: an echo by pipe'() {
    const tun = opened()
    const answer = new Transform({
      objectMode: true,
      transform(packet: Buffer, _encoding, done) {
        if (packet[0] !== 0x45 || packet[9] !== 1) return done()
        const source = Buffer.from(packet.subarray(12, 16))
        packet.copy(packet, 12, 16, 20)
        source.copy(packet, 16)
        packet[20] = 0
        const check = packet.readUInt16BE(22) + 0x0800
        packet.writeUInt16BE((check & 0xffff) + (check >>> 16), 22)
        done(null, packet)
      },
    })
    tun.pipe(answer).pipe(tun)
    expect(await ping(500, '-f')).to.equal(500)
    tun.destroy()
    await once(tun, 'close')
  },

  async 'tuntap2: backpressure leaves packets in the kernel'() {
    const tun = opened()
    const socket = await kernelSocket(PORT)
    for (let n = 0; n < 400; n++) socket.send(String(n), PORT, STACK)
    await sleep(100)
    expect(tun.readableLength, 'nothing is read before someone reads').to.equal(0)
    tun.read(0)
    await sleep(100)
    expect(tun.readableLength).to.be.within(256, 256 + 64)
    const payloads: string[] = []
    for await (const packet of tun as AsyncIterable<Buffer>) {
      if (packet[0] === 0x45 && packet[9] === 17) payloads.push(packet.subarray(28).toString())
      if (payloads.length === 400) break
    }
    expect(payloads).to.deep.equal(Array.from({ length: 400 }, (_, n) => String(n)))
    await until(() => tun.closed, 'leaving the loop has closed it')
    expect(ip('-br', 'link')).to.not.contain('tun0')
    socket.close()
  },

  async 'tuntap2: writes in order, a turn of the loop per burst'() {
    const tun = opened()
    const socket = await kernelSocket(PORT)
    const seen: number[] = []
    socket.on('message', (message) => seen.push(Number(message.toString())))
    let stopped = 0
    for (let n = 0; n < 2000; n++) {
      if (!tun.write(udpPacket(PORT, new TextEncoder().encode(String(n))))) {
        stopped++
        await once(tun, 'drain')
        await until(() => seen.length === n + 1, 'the kernel has passed them on')
      }
    }
    await until(() => seen.length === 2000, 'all have come')
    expect(seen).to.deep.equal(Array.from({ length: 2000 }, (_, n) => n))
    expect(stopped, 'write() said stop').to.be.at.least(1)
    tun.end()
    await once(tun, 'finish')
    tun.release()
    await once(tun, 'close')
    socket.close()
  },

  async 'tuntap2: refused packets are dropped and counted'() {
    const tun = opened()
    tun.write(Buffer.alloc(40, 0x95))
    tun.isUp = false
    await new Promise((resolve) => tun.write(udpPacket(PORT, new Uint8Array(4)), resolve))
    expect(tun.device.stats.snapshot()).to.include({ txErrors: 1, txDropped: 1 })
    expect(tun.destroyed).to.equal(false)
    tun.release()
  },

  async 'tuntap2: deleted under it'() {
    const tun = opened()
    tun.resume()
    ip('link', 'delete', 'tun0')
    const [error] = (await once(tun, 'error')) as [TunstackError]
    expect(error.code).to.equal('ERR_TUN_GONE')
    await until(() => tun.closed, 'it has closed')
  },

  async 'tuntap2: released inside a listener'() {
    const tun = opened()
    let packets = 0
    tun.on('data', () => {
      packets++
      tun.release()
    })
    const socket = await kernelSocket(PORT)
    for (let n = 0; n < 20; n++) socket.send('x', PORT, STACK)
    await once(tun, 'close')
    expect(packets).to.equal(1)
    socket.close()
  },
}
