import { Duplex } from 'node:stream'
import { expect } from 'chai'
import {
  fromPacketStream,
  type PacketDuplex,
  type PacketStreamDevice,
} from '../../lib/device/packet-stream.ts'
import { PacketPool } from '../../lib/packet/packet-pool.ts'
import { linkDeviceCompliance, type Rig } from './link-device-compliance.ts'
import { numbered, TestHost } from './test-host.ts'

/** Lets what the stream has put off happen. */
async function settle(): Promise<void> {
  for (let i = 0; i < 3; i++) await new Promise((resolve) => setImmediate(resolve))
}

interface StreamRig extends Rig {
  device: PacketStreamDevice
  duplex: Duplex
}

function streamRig(options: Parameters<typeof fromPacketStream>[1] = {}, pool = new PacketPool()): StreamRig {
  const written: Uint8Array[] = []
  let stalled = false
  let release: (() => void) | undefined
  const duplex = new Duplex({
    objectMode: true,
    read(): void {},
    write(chunk: Uint8Array, _encoding, done): void {
      written.push(chunk)
      if (stalled) release = done
      else done()
    },
  })
  const device = fromPacketStream(duplex, options)
  const host = new TestHost(pool).connect(device)
  return {
    device,
    host,
    duplex,
    async arrived(): Promise<Uint8Array[]> {
      await settle()
      return written.splice(0)
    },
    async deliver(...contents): Promise<void> {
      for (const bytes of contents) duplex.push(bytes)
      await settle()
    },
    stall: () => void (stalled = true),
    async unstall(): Promise<void> {
      stalled = false
      release?.()
      release = undefined
      await settle()
    },
  }
}

linkDeviceCompliance('A device over a stream', () => streamRig())

describe('fromPacketStream', () => {
  it('copies chunks, so that the stream may use its buffer again', async () => {
    const { device, host, deliver } = streamRig()
    device.setUp(true)
    const chunk = numbered(1)
    await deliver(chunk)
    chunk.fill(0xff)
    expect(host.takeReceived()).to.deep.equal([numbered(1)])
    await device.close()
  })

  it('pauses the stream while the stack has enough waiting, and while it is down', async () => {
    const { device, host, deliver, duplex } = streamRig({ queue: 20 })
    expect(duplex.isPaused()).to.equal(true)
    device.setUp(true)
    expect(duplex.isPaused()).to.equal(false)
    await deliver(...Array.from({ length: 50 }, (_, i) => numbered(i)))
    expect(duplex.isPaused()).to.equal(true)
    const received: Uint8Array[] = []
    for (let round = 0; round < 10; round++) {
      received.push(...host.takeReceived())
      await settle()
    }
    expect(received).to.have.length(50)
    expect(device.stats.get('rxDropped')).to.equal(0)
    expect(duplex.isPaused()).to.equal(false)
    device.setUp(false)
    expect(duplex.isPaused()).to.equal(true)
    await device.close()
  })

  it('drops past its queue if the stream cannot be paused', () => {
    let data: (chunk: Uint8Array) => void = () => {}
    const deaf: PacketDuplex = {
      on: (event, listener) => void (event === 'data' && (data = listener as unknown as typeof data)),
      write: () => true,
      pause: () => {},
      resume: () => {},
      destroy: () => {},
    }
    const device = fromPacketStream(deaf, { queue: 5 })
    const host = new TestHost().connect(device)
    device.setUp(true)
    for (let i = 0; i < 8; i++) data(numbered(i))
    expect(device.stats.get('rxDropped')).to.equal(3)
    expect(host.takeReceived()).to.have.length(5)
    data(numbered(9))
    device.setUp(false)
    data(numbered(10))
    expect(device.stats.get('rxDropped')).to.equal(5)
    expect(host.pool.outstanding).to.equal(0)
  })

  it('counts chunks that are no packets as errors', async () => {
    const { device, host, deliver, duplex } = streamRig()
    device.setUp(true)
    await deliver(new Uint8Array(0), new Uint8Array(65536))
    duplex.push('text')
    await deliver(numbered(1), new Uint8Array(65535))
    expect(host.takeReceived().map(({ length }) => length)).to.deep.equal([40, 65535])
    expect(device.stats.get('rxErrors')).to.equal(3)
    expect(device.stats.get('rxLengthErrors')).to.equal(3)
    await device.close()
  })

  it('counts a packet that finds no memory', async () => {
    const { device, host, deliver } = streamRig({}, new PacketPool({ limit: 0 }))
    device.setUp(true)
    await deliver(numbered(1))
    expect(device.stats.get('rxDropped')).to.equal(1)
    expect(host.takeReceived()).to.have.length(0)
    await device.close()
  })

  it('strips and adds packet information', async () => {
    const { device, host, deliver, arrived } = streamRig({ pi: true })
    device.setUp(true)
    await deliver(Uint8Array.of(0, 0, 8, 0, ...numbered(1)), Uint8Array.of(0, 0, 8, 0))
    expect(host.takeReceived()).to.deep.equal([numbered(1)])
    expect(device.stats.get('rxErrors')).to.equal(1)
    const six = numbered(2)
    six[0] = 0x60
    host.sendBytes(numbered(1), six)
    expect(await arrived()).to.deep.equal([
      Uint8Array.of(0, 0, 8, 0, ...numbered(1)),
      Uint8Array.of(0, 0, 0x86, 0xdd, ...six),
    ])
    expect(device.stats.get('txBytes')).to.equal(80)
    await device.close()
  })

  it('is gone when the stream fails, and says why', async () => {
    const { device, host, duplex } = streamRig()
    device.setUp(true)
    const failure = new Error('EBADFD')
    duplex.destroy(failure)
    await settle()
    expect(device.gone).to.equal(true)
    expect(device.error).to.equal(failure)
    expect(host.changes).to.equal(1)
    host.sendBytes(numbered(1))
    expect(host.pool.outstanding).to.equal(0)
    await device.close()
  })

  it('is gone when the stream ends', async () => {
    const { device, duplex } = streamRig()
    device.setUp(true)
    duplex.push(null)
    await settle()
    expect(device.gone).to.equal(true)
    expect(device.error).to.equal(undefined)
    await device.close()
    expect(duplex.destroyed).to.equal(true)
  })

  it('is gone from the start over a stream that is closed already', async () => {
    const duplex = new Duplex({ objectMode: true, read(): void {} })
    duplex.destroy()
    await settle()
    const device = fromPacketStream(duplex)
    expect(device.gone).to.equal(true)
    await device.close()
  })

  it('survives a stream that throws, in the middle of a burst', () => {
    const throwing: PacketDuplex = {
      on: () => {},
      write(): boolean {
        throw new Error('no')
      },
      pause: () => {},
      resume: () => {},
      destroy: () => {},
    }
    const device = fromPacketStream(throwing)
    const host = new TestHost().connect(device)
    device.setUp(true)
    expect(host.sendBytes(numbered(1), numbered(2))).to.have.length(0)
    expect(device.gone).to.equal(true)
    expect(host.pool.outstanding).to.equal(0)
  })

  it('goes on at once when the stream drains before write() returns', () => {
    let drain = (): void => {}
    const written: Uint8Array[] = []
    const eager: PacketDuplex = {
      on: (event, listener) => void (event === 'drain' && (drain = listener as () => void)),
      write(chunk): boolean {
        written.push(chunk)
        drain()
        return false
      },
      pause: () => {},
      resume: () => {},
      destroy: () => {},
    }
    const device = fromPacketStream(eager)
    const host = new TestHost().connect(device)
    device.setUp(true)
    expect(host.sendBytes(numbered(1), numbered(2))).to.have.length(0)
    expect(written).to.have.length(2)
    expect(host.violations).to.deep.equal([])
  })
})
