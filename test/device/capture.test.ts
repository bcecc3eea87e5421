import { expect } from 'chai'
import { captureDevice } from '../../lib/device/capture.ts'
import { createPipe } from '../../lib/device/pipe.ts'
import { PcapngWriter } from '../../lib/observe/pcapng.ts'
import { linkDeviceCompliance } from './link-device-compliance.ts'
import { pipeRig } from './pipe-rig.ts'
import { numbered, numberOf, TestHost } from './test-host.ts'

linkDeviceCompliance('A captured device', () => pipeRig((near) => captureDevice(near, () => {})))

describe('captureDevice', () => {
  it('passes the properties of the device within through', () => {
    const [left] = createPipe({ mtu: 1400, names: ['a0', 'b0'], features: { tso: true } })
    const device = captureDevice(left, () => {})
    for (const key of [
      'name',
      'type',
      'flags',
      'mtu',
      'minMtu',
      'maxMtu',
      'txQueueLength',
      'qdisc',
    ] as const) {
      expect(device[key]).to.equal(left[key])
    }
    expect(device.features).to.equal(left.features)
    expect(device.stats).to.equal(left.stats)
  })

  it('sees each packet once, in both directions, before it moves on', () => {
    const seen: [number, boolean][] = []
    const { device, host, far, deliver } = pipeRig((near) =>
      captureDevice(near, (packet, outgoing) => void seen.push([numberOf(packet.toUint8Array()), outgoing])),
    )
    device.setUp(true)
    host.sendBytes(numbered(1), numbered(2))
    void deliver(numbered(3))
    host.takeReceived()
    far.takeReceived()
    expect(seen).to.deep.equal([
      [1, true],
      [2, true],
      [3, false],
    ])
  })

  it('shows a packet that had to wait for room once only', () => {
    const seen: number[] = []
    const { device, host, far } = pipeRig((near) =>
      captureDevice(near, (packet) => void seen.push(numberOf(packet.toUint8Array()))),
    )
    device.setUp(true)
    let rest = host.sendBytes(...Array.from({ length: 230 }, (_, i) => numbered(i)))
    rest = host.send(rest)
    far.takeReceived()
    expect(host.send(rest)).to.have.length(0)
    far.takeReceived()
    expect(seen).to.deep.equal([...seen.keys()])
    // Packets past the burst in which the device had enough were not offered before.
    expect(seen).to.have.length(230)
  })

  it('stops looking, and lets packets pass, when the observer throws', () => {
    const failure = new Error('disk full')
    const [left, right] = createPipe()
    const device = captureDevice(left, () => {
      throw failure
    })
    const a = new TestHost().connect(device)
    const b = new TestHost().connect(right)
    device.setUp(true)
    right.setUp(true)
    a.sendBytes(numbered(1), numbered(2))
    expect(b.takeReceived()).to.have.length(2)
    expect(device.error).to.equal(failure)
  })

  it('writes pcapng, and goes on when the writer is closed', () => {
    const blocks: number[] = []
    const writer = new PcapngWriter((bytes) => void blocks.push(bytes[0]!), { epoch: 0n })
    const { device, host, far, deliver } = pipeRig((near) => captureDevice(near, writer))
    device.setUp(true)
    host.sendBytes(numbered(1))
    void deliver(numbered(2))
    host.takeReceived()
    writer.close()
    host.sendBytes(numbered(3))
    expect(far.takeReceived()).to.have.length(2)
    expect(blocks).to.deep.equal([0x0a, 1, 6, 6])
  })
})
