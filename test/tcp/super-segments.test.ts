/** Packets of up to 64 KiB, out and in, where the devices take them. */
import { expect } from 'chai'
import { content, Pair, readAll, writeAll } from './pair.ts'

describe('TCP super-segments', () => {
  let pair: Pair
  afterEach(() => pair.end())

  async function transfer(bytes: number): Promise<void> {
    const { client, server } = await pair.connect()
    const sent = content(bytes)
    const all = readAll(server)
    await pair.until(writeAll(client, sent, 200_000))
    client.end()
    expect(Buffer.compare(await pair.until(all), sent)).to.equal(0)
  }

  it('go out whole, cut at multiples of the MSS, and are acknowledged once each', async () => {
    pair = new Pair({ features: { tso: true } })
    const sizes: [number, number][] = []
    pair.left.interface('p0').device.taps.push((packet, _device, outgoing) => {
      if (outgoing && packet.gsoSize !== 0) sizes.push([packet.length, packet.gsoSize])
    })
    await transfer(8 << 20)
    expect(Math.max(...sizes.map(([length]) => length))).to.be.within(60_000, 65_535)
    for (const [length, gsoSize] of sizes) {
      expect(length).to.be.at.most(65_535)
      expect(gsoSize).to.equal(1448)
    }
    const packets = pair.left.mib.get('IpOutTransmits')
    expect(packets).to.be.below(1500) // 5800 segments
    expect(pair.left.mib.get('TcpOutSegs')).to.be.above(5700)
    // One acknowledgment for each, and one when what it filled the window with was read.
    expect(pair.left.mib.get('TcpInSegs')).to.be.at.most(2 * packets)
    expect(pair.left.mib.get('TcpRetransSegs')).to.equal(0)
  })

  it('leave what was written where it lies, for a device that gathers', async () => {
    pair = new Pair({ features: { tso: true, gather: true } })
    const where = [0, 0]
    pair.left.interface('p0').device.taps.push((packet, _device, outgoing) => {
      if (outgoing && packet.gsoSize !== 0) where[packet.body === null ? 0 : 1]! += packet.length
    })
    await transfer(8 << 20)
    expect(where[1]! / (where[0]! + where[1]!)).to.be.above(0.8)
    expect(pair.left.mib.get('TcpRetransSegs')).to.equal(0)
  })

  it('stay within what the device says', async () => {
    pair = new Pair({ features: { tso: true, gsoMaxSize: 16_000 } })
    let largest = 0
    pair.left.interface('p0').device.taps.push((packet) => {
      largest = Math.max(largest, packet.length)
    })
    await transfer(1 << 20)
    expect(largest).to.be.within(10_000, 16_000)
  })

  it('are not made for a device that does not take them', async () => {
    pair = new Pair()
    let largest = 0
    pair.left.interface('p0').device.taps.push((packet) => {
      largest = Math.max(largest, packet.length)
    })
    await transfer(1 << 20)
    expect(largest).to.equal(1500)
  })
})
