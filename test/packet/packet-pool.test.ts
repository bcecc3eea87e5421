import { expect } from 'chai'
import fc from 'fast-check'
import { Checksum, Gso, HEADROOM, type Packet, PacketType } from '../../lib/packet/packet.ts'
import { PacketPool } from '../../lib/packet/packet-pool.ts'

/** Everything that a packet says beside its bytes, with offsets from its start. */
function metadata(packet: Packet): object {
  const { checksum, checksumOffset, gsoType, gsoSize, gsoSegments, gsoEcn, device, iif, type, destination } =
    packet
  const { mark, hash, ignoreDf, fragMaxSize, doRedirect, start } = packet
  return {
    ...{ checksum, checksumOffset, gsoType, gsoSize, gsoSegments, gsoEcn, device, iif, type, destination },
    ...{ mark, hash, ignoreDf, fragMaxSize, doRedirect },
    networkHeader: packet.networkHeader - start,
    transportHeader: packet.transportHeader - start,
    checksumStart: packet.checksumStart - start,
  }
}

function decorate(packet: Packet): Packet {
  return Object.assign(packet, {
    networkHeader: packet.start,
    transportHeader: packet.start + 20,
    checksum: Checksum.PARTIAL,
    checksumStart: packet.start + 20,
    checksumOffset: 16,
    gsoType: Gso.TCPV4,
    gsoSize: 1448,
    gsoSegments: 2,
    gsoEcn: true,
    device: { ifindex: 2, name: 'tun0' },
    iif: 2,
    type: PacketType.MULTICAST,
    destination: { family: 4 },
    mark: 3,
    hash: 4,
    ignoreDf: true,
    fragMaxSize: 576,
    doRedirect: true,
  })
}

describe('PacketPool', () => {
  it('gives a clean packet, whatever the one before was', () => {
    const pool = new PacketPool()
    const first = decorate(pool.from(new Uint8Array(100))!)
    first.body = new Uint8Array(3)
    first.bodyDone = () => {}
    first.free()
    const second = pool.allocate(100)!
    expect(second).to.equal(first)
    expect(second).to.include({
      body: null,
      bodyDone: null,
      device: null,
      destination: null,
      iif: 0,
      mark: 0,
      hash: 0,
    })
    expect(second).to.include({
      checksum: Checksum.NONE,
      gsoType: Gso.NONE,
      gsoSize: 0,
      gsoSegments: 1,
      gsoEcn: false,
    })
    expect(second).to.include({ type: PacketType.HOST, ignoreDf: false, fragMaxSize: 0, doRedirect: false })
    expect(second).to.include({ networkHeader: 0, transportHeader: 0, length: 0, next: null })
    second.free()
  })

  it('uses the slab that was freed last, and makes no more than it needs', () => {
    const pool = new PacketPool()
    const first = pool.allocate(1500)!
    const { slab } = first
    const { reserved } = pool
    first.free()
    for (let i = 0; i < 1000; i++) {
      const packet = pool.allocate(1500)!
      expect(packet.slab).to.equal(slab)
      packet.free()
    }
    expect(pool.reserved).to.equal(reserved)
  })

  it('has a slab for the largest IP packet, and none for more', () => {
    const pool = new PacketPool()
    for (const size of [0, 1, 1500, 2048 - HEADROOM, 2049 - HEADROOM, 9000, 65535]) {
      const packet = pool.allocate(size)!
      expect(packet.tailroom).to.be.at.least(size)
      packet.free()
    }
    expect(pool.allocate(66560)).to.equal(null)
    expect(pool.exhausted, 'too large is not exhausted').to.equal(0)
    expect(pool.outstanding).to.equal(0)
  })

  it('is bounded: past its limit it gives null, counts it, and serves again what is freed', () => {
    const pool = new PacketPool({ limit: 64 * 2048 })
    const packets = Array.from({ length: 64 }, () => pool.allocate(1500)!)
    expect(packets.every((packet) => packet !== null)).to.equal(true)
    expect(pool.allocate(1500)).to.equal(null)
    expect(pool.from(new Uint8Array(1))).to.equal(null)
    expect(pool.copy(packets[0]!)).to.equal(null)
    expect(pool.exhausted).to.equal(3)
    expect(pool.outstanding).to.equal(64)
    packets.pop()!.free()
    expect(pool.allocate(1500)).to.not.equal(null)
    expect(pool.reserved).to.be.at.most(pool.limit)
  })

  it('says so when a packet is freed twice', () => {
    const pool = new PacketPool()
    const packet = pool.allocate(1)!
    packet.free()
    expect(() => packet.free()).to.throw(/twice/)
    expect(pool.outstanding).to.equal(0)
  })

  it('clones bytes by sharing and metadata by value', () => {
    const pool = new PacketPool()
    const packet = decorate(pool.from(new Uint8Array(60).fill(7))!)
    const clone = pool.clone(packet)
    expect(clone.bytes).to.equal(packet.bytes)
    expect([clone.start, clone.end]).to.deep.equal([packet.start, packet.end])
    expect(metadata(clone)).to.deep.equal(metadata(packet))
    clone.pull(20)
    expect(packet.length).to.equal(60)
    packet.free()
    expect(clone.toUint8Array()).to.deep.equal(new Uint8Array(40).fill(7))
    clone.free()
    expect(pool.outstanding).to.equal(0)
  })

  it('copies with bytes of its own, other headroom and offsets moved along', () => {
    const pool = new PacketPool()
    const packet = decorate(pool.from(new Uint8Array(60).fill(7))!)
    packet.body = new Uint8Array(5).fill(9)
    const copy = pool.copy(packet, 10)!
    expect(copy.headroom).to.equal(10)
    expect(copy.body).to.equal(null)
    expect(copy.writable).to.equal(true)
    expect(copy.toUint8Array()).to.deep.equal(packet.toUint8Array())
    expect(metadata(copy)).to.deep.equal(metadata(packet))
    copy.bytes.fill(0, copy.start, copy.end)
    expect(packet.toUint8Array()[0]).to.equal(7)
    packet.free()
    copy.free()
    expect(pool.outstanding).to.equal(0)
  })

  it('tells the owner of a body once, when the last packet that refers to it is freed', () => {
    const pool = new PacketPool()
    for (const order of [
      [0, 1, 2],
      [2, 1, 0],
      [1, 0, 2],
    ]) {
      let done = 0
      const packet = pool.from(new Uint8Array(40))!
      packet.body = new Uint8Array(100)
      packet.bodyDone = () => void done++
      const sharing = [packet, pool.clone(packet), pool.clone(packet)]
      sharing[order[0]!]!.free()
      sharing[order[1]!]!.free()
      expect(done).to.equal(0)
      sharing[order[2]!]!.free()
      expect(done).to.equal(1)
    }
  })

  it('property: whatever is allocated, cloned, copied and freed, bytes stay whose they are', () => {
    const step = fc.record({
      do: fc.constantFrom('allocate', 'allocate', 'clone', 'copy', 'free', 'free'),
      which: fc.nat(1000),
      size: fc.constantFrom(1, 40, 1500, 1904, 1905, 9000, 65535),
    })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const pool = new PacketPool({ limit: 4 << 20 })
        const live: { packet: Packet; id: number; size: number }[] = []
        let nextId = 1
        for (const { do: action, which, size } of steps) {
          const chosen = live[which % Math.max(1, live.length)]
          if (action === 'allocate') {
            const packet = pool.allocate(size)
            if (packet === null) continue
            const id = nextId++ & 0xff
            packet.bytes.fill(id, packet.put(size), packet.end)
            live.push({ packet, id, size })
          } else if (chosen === undefined) {
          } else if (action === 'clone') {
            live.push({ ...chosen, packet: pool.clone(chosen.packet) })
          } else if (action === 'copy') {
            const packet = pool.copy(chosen.packet)
            if (packet !== null) live.push({ ...chosen, packet })
          } else {
            chosen.packet.free()
            live.splice(live.indexOf(chosen), 1)
          }
          expect(pool.outstanding).to.equal(live.length)
          expect(pool.reserved).to.be.at.most(pool.limit)
          const sharers = new Map<unknown, number>()
          for (const { packet } of live) sharers.set(packet.slab, (sharers.get(packet.slab) ?? 0) + 1)
          for (const { packet, id, size: length } of live) {
            expect(packet.length).to.equal(length)
            expect([packet.bytes[packet.start], packet.bytes[packet.end - 1]]).to.deep.equal([id, id])
            expect(packet.slab.references).to.equal(sharers.get(packet.slab))
          }
        }
        for (const { packet } of live) packet.free()
        expect(pool.outstanding).to.equal(0)
      }),
    )
  })
})
