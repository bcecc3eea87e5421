/** Packets both ways between the kernel and the raw driver. */
import { once } from 'node:events'
import { setImmediate as turn } from 'node:timers/promises'
import { expect } from 'chai'
import { Burst } from '../../../../lib/packet/burst.ts'
import { Checksum, type Packet } from '../../../../lib/packet/packet.ts'
import { PacketPool } from '../../../../lib/packet/packet-pool.ts'
import { fold, pseudoHeaderSum } from '../../../../lib/wire/checksum.ts'
import {
  attach,
  echo,
  ip,
  isUdp,
  KERNEL,
  kernelSocket,
  openTun,
  ping,
  STACK,
  send,
  sleep,
  udpPacket,
  until,
} from '../bench.ts'

const PORT = 4000

function numbered(n: number, length = 32): Uint8Array {
  const payload = new Uint8Array(length)
  new DataView(payload.buffer).setUint32(0, n)
  return payload
}

export const traffic: Record<string, () => Promise<void>> = {
  async 'ping is answered'() {
    const tun = await openTun({ address: `${KERNEL}/24` })
    const { pool } = attach(tun, echo(tun))
    expect(await ping(5, '-i', '0.02')).to.equal(5)
    expect(await ping(3, '-i', '0.02', '-s', '1472')).to.equal(3)
    expect(await ping(2000, '-f')).to.equal(2000)
    expect(tun.stats.get('rxPackets')).to.be.at.least(2008)
    expect(tun.stats.get('txErrors') + tun.stats.get('rxErrors')).to.equal(0)
    await tun.close()
    expect(pool.outstanding).to.equal(0)
  },

  async 'kernel to device, no loss and in order'() {
    const total = 3000
    const tun = await openTun({ address: `${KERNEL}/24`, txQueueLength: total + 10 })
    const seen: number[] = []
    const bench = attach(tun, (packet) => {
      if (isUdp(packet)) {
        seen.push(new DataView(packet.bytes.buffer).getUint32(packet.start + 28))
        expect(packet.length).to.equal(28 + 32)
      }
      packet.free()
    })
    const socket = await kernelSocket(PORT)
    await Promise.all(
      Array.from(
        { length: total },
        (_, n) => new Promise((sent) => socket.send(numbered(n), PORT, STACK, sent)),
      ),
    )
    await until(() => seen.length >= total, `${total} packets have come (${seen.length})`)
    expect(seen).to.deep.equal(Array.from({ length: total }, (_, n) => n))
    expect(bench.bursts(), 'they come many at a time').to.be.below(total)
    socket.close()
    await tun.close()
  },

  async 'device to kernel, no loss and in order'() {
    const tun = await openTun({ address: `${KERNEL}/24` })
    const { pool } = attach(tun, (packet) => packet.free())
    const socket = await kernelSocket(PORT)
    const seen: number[] = []
    socket.on('message', (message) => seen.push(message.readUInt32BE(0)))
    const burst = new Burst()
    for (let round = 0; round < 50; round++) {
      while (!burst.full) burst.push(pool.from(udpPacket(PORT, numbered(round * 64 + burst.length)))!)
      while (burst.length > 0) {
        burst.shift(tun.transmit(burst))
        await turn()
      }
      // The socket's buffer is small: let it be read before the next burst.
      await until(() => seen.length >= (round + 1) * 64, 'the burst has come through')
    }
    expect(seen).to.deep.equal(Array.from({ length: 3200 }, (_, n) => n))
    expect(tun.stats.snapshot()).to.include({ txPackets: 3200, txErrors: 0, txDropped: 0 })
    socket.close()
    await tun.close()
    expect(pool.outstanding).to.equal(0)
  },

  async 'bad packets in the middle of a batch'() {
    const tun = await openTun({ address: `${KERNEL}/24` })
    const { pool } = attach(tun, (packet) => packet.free())
    const socket = await kernelSocket(PORT)
    const seen: number[] = []
    socket.on('message', (message) => seen.push(message.readUInt32BE(0)))
    const burst = new Burst()
    const bad = udpPacket(PORT, numbered(99))
    bad[0] = 0x95
    burst.push(pool.from(udpPacket(PORT, numbered(1)))!)
    burst.push(pool.from(bad)!)
    burst.push(pool.from(udpPacket(PORT, numbered(2)))!)
    burst.push(pool.allocate(100)!)
    burst.push(pool.from(udpPacket(PORT, numbered(3)))!)
    tun.transmit(burst)
    burst.clear()
    await until(() => seen.length >= 3, 'the good ones have come')
    expect(seen).to.deep.equal([1, 2, 3])
    expect(tun.stats.snapshot()).to.include({ txPackets: 3, txErrors: 2, txDropped: 0 })
    expect(tun.refusal).to.include({ code: 'EINVAL', errno: -22 })
    socket.close()
    await tun.close()
  },

  async 'bodies and checksums as the kernel wants them'() {
    const tun = await openTun({ address: `${KERNEL}/24` })
    const { pool } = attach(tun, (packet) => packet.free())
    const socket = await kernelSocket(PORT)
    const seen: string[] = []
    socket.on('message', (message) => seen.push(message.toString()))
    const text = new TextEncoder().encode('the quick brown fox jumps over the lazy dog')
    const make = (headLength: number, body: boolean): Packet => {
      const whole = udpPacket(PORT, text)
      // Verified by the kernel, as the field is not 0.
      const pseudo = fold(pseudoHeaderSum(0x0a090002, 0x0a090001, 17, whole.length - 20))
      whole[26] = pseudo >>> 8
      whole[27] = pseudo & 255
      const packet = pool.from(body ? whole.subarray(0, headLength) : whole)!
      if (body) packet.body = whole.subarray(headLength)
      packet.checksum = Checksum.PARTIAL
      packet.checksumStart = packet.start + 20
      packet.checksumOffset = 6
      return packet
    }
    const burst = new Burst()
    const shared = make(0, false)
    const kept = pool.clone(shared)
    for (const packet of [make(0, false), make(28, true), make(31, true), shared, pool.clone(kept)])
      burst.push(packet)
    tun.transmit(burst)
    burst.clear()
    send(tun, kept)
    await until(() => seen.length >= 6, `six have passed the kernel's verification (${seen.length})`)
    expect(new Set(seen)).to.deep.equal(new Set([new TextDecoder().decode(text)]))
    socket.close()
    await tun.close()
  },

  async 'down and up again'() {
    const tun = await openTun({ address: `${KERNEL}/24` })
    attach(tun, echo(tun))
    expect(await ping(2, '-i', '0.02')).to.equal(2)
    tun.setUp(false)
    expect(await ping(2, '-i', '0.02', '-W', '0.2')).to.equal(0)
    tun.setUp(true)
    expect(tun.stats.get('rxDropped'), 'what came while it was down').to.be.at.least(2)
    expect(await ping(2, '-i', '0.02')).to.equal(2)

    // The kernel's side: packets are dropped while it is down, and it works again afterwards.
    tun.kernel.up = false
    send(tun, new PacketPool().from(udpPacket(PORT, numbered(1)))!)
    expect(tun.stats.get('txDropped')).to.equal(1)
    expect(tun.refusal).to.include({ code: 'ERR_TUN_DOWN', errno: -5 })
    expect(tun.gone).to.equal(false)
    tun.kernel.up = true
    expect(await ping(2, '-i', '0.02')).to.equal(2)
    await tun.close()
  },

  async 'pause holds packets in the kernel'() {
    const tun = await openTun({ address: `${KERNEL}/24` })
    let seen = 0
    attach(tun, (packet) => {
      if (isUdp(packet)) seen++
      packet.free()
    })
    tun.pause()
    const socket = await kernelSocket(PORT)
    for (let n = 0; n < 100; n++) socket.send(numbered(n), PORT, STACK)
    await sleep(100)
    expect(seen).to.equal(0)
    tun.resume()
    await until(() => seen === 100, 'all 100 have come')
    socket.close()
    await tun.close()
  },

  async 'an exhausted pool rests and comes back'() {
    const tun = await openTun({ address: `${KERNEL}/24` })
    const held: Packet[] = []
    let seen = 0
    const { pool } = attach(
      tun,
      (packet) => {
        if (isUdp(packet)) seen++
        held.push(packet)
      },
      new PacketPool({ limit: 64 * 2048 }),
    )
    const socket = await kernelSocket(PORT)
    for (let n = 0; n < 200; n++) socket.send(numbered(n), PORT, STACK)
    await until(() => tun.stats.get('rxMissedErrors') > 2, 'the pool is exhausted')
    expect(held.length).to.equal(64)
    while (seen < 200) {
      for (const packet of held.splice(0)) packet.free()
      await sleep(2)
    }
    for (const packet of held.splice(0)) packet.free()
    socket.close()
    await tun.close()
    expect(pool.outstanding).to.equal(0)
  },

  async 'jumbo packets, and an MTU raised from outside'() {
    const tun = await openTun({ address: `${KERNEL}/24`, mtu: 9000 })
    const lengths: number[] = []
    attach(tun, (packet) => {
      if (isUdp(packet)) lengths.push(packet.length)
      packet.free()
    })
    const socket = await kernelSocket(PORT)
    socket.send(new Uint8Array(8972), PORT, STACK)
    await until(() => lengths.length === 1, 'a packet of 9000 bytes has come')
    ip('link', 'set', 'tun0', 'mtu', '60000')
    socket.send(new Uint8Array(50000), PORT, STACK)
    if (!tun.offload.checksum) {
      await until(() => tun.stats.get('rxLengthErrors') === 1, 'a cut packet is noticed')
      socket.send(new Uint8Array(50000), PORT, STACK)
    }
    await until(() => lengths.length === 2, 'it comes whole')
    tun.setMtu(65535)
    socket.send(new Uint8Array(65507), PORT, STACK)
    await until(() => lengths.length === 3, 'the largest packet has come')
    expect(lengths).to.deep.equal([9000, 50028, 65535])
    expect(ip('link', 'show', 'tun0')).to.contain('mtu 65535')
    socket.close()
    await tun.close()
  },

  async 'timers keep their turn under a flood'() {
    const tun = await openTun({ address: `${KERNEL}/24` })
    let seen = 0
    const bench = attach(tun, (packet) => {
      seen++
      packet.free()
    })
    const socket = await kernelSocket(PORT)
    const done = once(socket, 'close')
    let turns = 0
    let immediate = setImmediate(function again() {
      turns++
      immediate = setImmediate(again)
    })
    const end = performance.now() + 500
    while (performance.now() < end) {
      for (let n = 0; n < 64; n++) socket.send(numbered(n), PORT, STACK)
      await turn()
    }
    clearImmediate(immediate)
    // One burst and then the event loop goes on: whatever else is due has its turn between any two.
    expect(bench.bursts()).to.be.at.most(turns + 1)
    expect(seen).to.be.at.least(1000)
    expect(bench.bursts()).to.be.at.least(seen / 64)
    socket.close()
    await done
    await tun.close()
  },

  async 'busy polling leaves timers their turn, and ends'() {
    const tun = await openTun({ address: `${KERNEL}/24`, busyPoll: '10ms' })
    attach(tun, echo(tun))
    let turns = 0
    let next = setImmediate(function count() {
      turns++
      next = setImmediate(count)
    })
    const pings = 40
    expect(await ping(pings, '-i', '0.005')).to.equal(pings)
    clearImmediate(next)
    const looks = tun.io.rxSystemCalls
    expect(looks, 'it has looked often').to.be.above(10 * pings)
    // A turn looks for 20 µs, at a tenth of a microsecond each at best: however busy the machine is, it is not more.
    expect(turns, 'turns of the event loop').to.be.above(looks / 400)
    await sleep(50)
    const calls = tun.io.rxSystemCalls
    await sleep(100)
    expect(tun.io.rxSystemCalls - calls, 'it looks no more').to.be.below(10)
    await tun.close()
  },
}
