import { expect } from 'chai'
import { HostBench, useBench } from '../conformance/harness.ts'
import { Pair, tick } from './pair.ts'
import { accepted } from './raw-peer.ts'

describe('TCP urgent data', () => {
  const bench = useBench(() => new HostBench())

  it('tcp-urg: is told of before it is read, and read in its place', async () => {
    const { peer, socket } = await accepted(bench())
    let told = 0
    socket.onUrgent = () => told++
    peer.send({ seq: 1, ack: 1, data: [1, 2, 3] })
    expect([told, socket.urgentLength]).to.deep.equal([0, 0])
    peer.send({ seq: 4, ack: 1, flags: 'UAP', urgent: 2, data: [4, 5, 6] })
    await tick()
    expect([told, socket.urgentLength]).to.deep.equal([1, 5])
    const buffer = new Uint8Array(10)
    expect(await socket.readInto(buffer, 0, 4)).to.equal(4)
    expect(socket.urgentLength).to.equal(1)
    expect(await socket.readInto(buffer, 4)).to.equal(2)
    expect(Array.from(buffer.subarray(0, 6))).to.deep.equal([1, 2, 3, 4, 5, 6])
    expect(socket.urgentLength).to.equal(0)
  })

  it('tcp-urg: of any length, announced by a pointer beyond the segment, and once', async () => {
    const { peer, socket } = await accepted(bench())
    let told = 0
    socket.onUrgent = () => told++
    peer.send({ seq: 1, ack: 1, flags: 'UA', urgent: 60_000, data: new Uint8Array(1000) })
    peer.send({ seq: 1001, ack: 1, flags: 'UA', urgent: 59_000, data: new Uint8Array(1000) })
    await tick()
    expect([told, socket.urgentLength]).to.deep.equal([1, 60_000])
    peer.send({ seq: 2001, ack: 1, flags: 'UA', urgent: 58_001, data: new Uint8Array(1000) })
    await tick()
    expect([told, socket.urgentLength]).to.deep.equal([2, 60_001])
    // A pointer that lies behind what is known already, or at nothing, says nothing.
    peer.send({ seq: 3001, ack: 1, flags: 'UA', urgent: 5, data: new Uint8Array(10) })
    peer.send({ seq: 3011, ack: 1, flags: 'UA', urgent: 0, data: new Uint8Array(10) })
    await tick()
    expect([told, socket.urgentLength]).to.deep.equal([2, 60_001])
  })

  it('tcp-urg: counts while the window is closed', async () => {
    const { peer, socket } = await accepted(bench(), { mss: 1460 }, { receiveBuffer: 4096 })
    let closed = peer.send({ seq: 0, ack: 1, data: [0] })[0]!
    for (let i = 0; i < 20 && closed.window > 0; i++) {
      peer.send({ seq: closed.ack, ack: 1, data: new Uint8Array(Math.min(512, closed.window)) })
      bench().pass(100)
      peer.take()
      closed = peer.send({ seq: 0, ack: 1, data: [0] })[0]!
    }
    expect(closed.window).to.equal(0)
    let told = false
    socket.onUrgent = () => {
      told = true
    }
    peer.send({ seq: closed.ack, ack: 1, flags: 'UA', urgent: 1, data: [9] })
    await tick()
    expect([told, socket.urgentLength]).to.deep.equal([true, closed.ack])
  })

  it('tcp-urg: is sent with a pointer to the byte behind it, in every segment before that', async () => {
    const { peer, socket } = await accepted(bench())
    socket.noDelay = true
    await socket.write(new Uint8Array(1000))
    expect(peer.take().map(({ flags }) => flags)).to.deep.equal(['PA'])
    await socket.writeUrgent(new Uint8Array(2000))
    await socket.write(new Uint8Array(10))
    expect(peer.take().map(({ seq, flags, urgent }) => [seq, flags, urgent])).to.deep.equal([
      [1001, 'AU', 2000],
      [2461, 'PAU', 540],
      [3001, 'PA', 0],
    ])
    peer.send({ seq: 1, ack: 3001 })
    await socket.write(new Uint8Array(10))
    expect(peer.take().every(({ flags }) => !flags.includes('U'))).to.equal(true)
  })

  it('tcp-urg: is announced at once although the window is closed', async () => {
    const { peer, socket } = await accepted(bench())
    peer.send({ seq: 1, ack: 1, window: 0 })
    await socket.writeUrgent(new Uint8Array([1, 2, 3]))
    const [told] = peer.take()
    expect(told).to.include({ flags: 'AU', urgent: 3 })
    expect(told!.data).to.have.length(0)
  })

  it('goes from stack to stack in the middle of a large transfer', async () => {
    const pair = new Pair()
    const { client, server } = await pair.connect()
    const marks: number[] = []
    let read = 0
    server.onUrgent = () => marks.push(read + server.urgentLength)
    const reading = (async () => {
      for await (const chunk of server) read += chunk.length
    })()
    const writing = (async () => {
      await client.write(new Uint8Array(200_000))
      await client.writeUrgent(new Uint8Array(1))
      await client.write(new Uint8Array(200_000))
      client.end()
    })()
    await pair.until(Promise.all([reading, writing]))
    expect(read).to.equal(400_001)
    expect(marks.at(-1)).to.equal(200_001)
  })
})
