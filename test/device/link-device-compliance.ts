/**
 * What every `LinkDevice` must do, as one suite: order, ownership, backpressure, up and down, closing, and never
 * calling up from inside a call down. An implementation hands in a rig: the device, attached to a
 * {@link TestHost}, and the far side of its wire.
 */
import { expect } from 'chai'
import fc from 'fast-check'
import type { LinkDevice } from '../../lib/device/link-device.ts'
import type { Packet } from '../../lib/packet/packet.ts'
import { DropReason } from '../../lib/wire/drop-reason.ts'
import { numbered, numberOf, type TestHost } from './test-host.ts'

export interface Rig {
  device: LinkDevice
  host: TestHost
  /** What the far side has got since the last call, oldest first. */
  arrived(): Promise<Uint8Array[]> | Uint8Array[]
  /** The far side sends; afterwards the packets wait in the device, or were handed up. */
  deliver(...contents: Uint8Array[]): Promise<void> | void
  /** The far side takes nothing more until {@link unstall}; not used with `stalls: false`. */
  stall?(): void
  unstall?(): Promise<void> | void
  /** Lets go of what the rig itself holds. */
  finish?(): Promise<void> | void
}

/** Packets that are sent to a stalled far side before it must have said that it has enough. */
const STALL_LIMIT = 5000

export function linkDeviceCompliance(
  title: string,
  makeRig: () => Promise<Rig> | Rig,
  { stalls = true }: { stalls?: boolean } = {},
): void {
  describe(`${title} as a LinkDevice`, () => {
    let rig: Rig
    let device: LinkDevice
    let host: TestHost

    beforeEach(async () => {
      rig = await makeRig()
      ;({ device, host } = rig)
      device.setUp(true)
    })

    afterEach(async () => {
      await device.close()
      await rig.finish?.()
      host.takeReceived()
      expect(host.violations).to.deep.equal([])
      expect(host.pool.outstanding).to.equal(0)
    })

    it('describes itself', () => {
      expect(device.name).to.match(/^[^/:\s]{1,15}$/)
      expect(device.mtu).to.be.within(device.minMtu, device.maxMtu)
      expect(device.txQueueLength).to.be.greaterThan(0)
      expect(device.qdisc).to.match(/^[a-z_]+$/)
      expect(device.flags & 1, 'UP is the stack’s to say').to.equal(0)
      expect(device.carrier).to.equal(true)
      expect(device.gone).to.equal(false)
      expect(Object.values(device.stats.snapshot()).every((n) => n === 0)).to.equal(true)
    })

    it('sends in order and counts', async () => {
      const contents = Array.from({ length: 100 }, (_, i) => numbered(i, 40 + i))
      expect(host.sendBytes(...contents)).to.have.length(0)
      const arrived = await rig.arrived()
      expect(arrived.map(numberOf)).to.deep.equal(contents.map(numberOf))
      expect(arrived).to.deep.equal(contents)
      expect(device.stats.get('txPackets')).to.equal(100)
      expect(device.stats.get('txBytes')).to.equal(contents.reduce((sum, { length }) => sum + length, 0))
      expect(device.stats.get('txDropped')).to.equal(0)
    })

    it('receives in order and counts', async () => {
      const contents = Array.from({ length: 100 }, (_, i) => numbered(i, 140 - i))
      await rig.deliver(...contents)
      host.poll()
      expect(host.received.every(({ type }) => type === 0)).to.equal(true)
      expect(host.received.every(({ pool, start, end }) => pool !== null && end > start)).to.equal(true)
      expect(host.takeReceived()).to.deep.equal(contents)
      expect(device.stats.get('rxPackets')).to.equal(100)
      expect(device.stats.get('rxBytes')).to.equal(contents.reduce((sum, { length }) => sum + length, 0))
    })

    it('hands over bytes that are shared without touching them', async () => {
      const packet = host.packet(numbered(7))
      const clone = host.pool.clone(packet)
      expect(host.send([packet])).to.have.length(0)
      expect(clone.toUint8Array()).to.deep.equal(numbered(7))
      expect(await rig.arrived()).to.deep.equal([numbered(7)])
      clone.free()
    })

    it('sends a packet whose body lies elsewhere, and says when it is done with it', async () => {
      let done = 0
      const body = numbered(0, 1000).fill(0xab)
      const packet = host.packet(numbered(9))
      packet.body = body
      packet.bodyDone = () => void done++
      expect(host.send([packet])).to.have.length(0)
      const [arrived] = await rig.arrived()
      expect(arrived).to.deep.equal(Uint8Array.of(...numbered(9), ...body))
      expect(done).to.equal(1)
    })

    it('takes and frees what it is given while it is down', async () => {
      device.setUp(false)
      expect(host.sendBytes(numbered(1), numbered(2))).to.have.length(0)
      expect(host.pool.outstanding).to.equal(0)
      expect(device.stats.get('txDropped')).to.equal(2)
      expect(device.stats.get('txPackets')).to.equal(0)
      expect(host.dropped).to.deep.equal([DropReason.DEV_READY, DropReason.DEV_READY])
      device.setUp(true)
      expect(await rig.arrived()).to.deep.equal([])
    })

    it('loses what waits when it goes down, and works when it is up again', async () => {
      await rig.deliver(numbered(1), numbered(2))
      device.setUp(false)
      host.takeReceived()
      expect(host.pool.outstanding).to.equal(0)
      device.setUp(true)
      await rig.arrived()
      await rig.deliver(numbered(3))
      expect(host.takeReceived().map(numberOf)).to.include(3)
      expect(host.sendBytes(numbered(4))).to.have.length(0)
      expect((await rig.arrived()).map(numberOf)).to.deep.equal([4])
    })

    it('is no more up for being put up twice', async () => {
      device.setUp(true)
      expect(host.sendBytes(numbered(1))).to.have.length(0)
      expect(await rig.arrived()).to.have.length(1)
    })

    if (stalls) {
      it('says when it has enough, and when there is room again', async function () {
        this.timeout(10_000)
        rig.stall!()
        let rest: Packet[] = []
        let sent = 0
        while (rest.length === 0 && sent < STALL_LIMIT)
          rest = host.sendBytes(numbered(sent++), numbered(sent++))
        expect(rest, `the device took ${sent} packets and never had enough`).to.not.have.length(0)
        expect(device.stats.get('txDropped')).to.equal(0)
        const before = host.wakes
        expect(host.send(rest), 'still full').to.deep.equal(rest)
        const arrived: Uint8Array[] = []
        for (let round = 0; rest.length > 0 && round < STALL_LIMIT; round++) {
          const wakes = host.wakes
          await rig.unstall!()
          arrived.push(...(await rig.arrived()))
          if (host.wakes > wakes) rest = host.send(rest)
        }
        expect(host.wakes).to.be.greaterThan(before)
        arrived.push(...(await rig.arrived()))
        expect(arrived.map(numberOf)).to.deep.equal(Array.from({ length: sent }, (_, i) => i))
        expect(host.wakes - before, 'one wake-up per stall').to.be.lessThan(10)
      })
    }

    it('keeps its MTU within its bounds', () => {
      for (const mtu of [device.minMtu - 1, device.maxMtu + 1, 1.5, Number.NaN]) {
        expect(() => device.setMtu(mtu))
          .to.throw()
          .with.property('code')
          .that.is.oneOf(['EINVAL', 'EOPNOTSUPP'])
      }
      const { changes } = host
      const other = device.mtu - 1
      device.setMtu(other)
      expect(device.mtu).to.equal(other)
      expect(host.changes).to.be.greaterThan(changes)
    })

    it('closes twice, at once, with packets waiting', async () => {
      await rig.deliver(numbered(1), numbered(2))
      host.takeReceived()
      await rig.deliver(numbered(3))
      const closing = device.close()
      expect(device.gone).to.equal(true)
      expect(device.carrier).to.equal(false)
      expect(host.changes).to.be.greaterThan(0)
      host.takeReceived()
      host.expectSilence()
      await Promise.all([closing, device.close()])
      expect(host.sendBytes(numbered(4))).to.have.length(0)
      device.setUp(true)
      expect(host.sendBytes(numbered(5))).to.have.length(0)
      expect(device.stats.get('txDropped')).to.equal(2)
      expect(host.pool.outstanding).to.equal(0)
    })

    it('property: whatever the order of calls, packets keep their order and none is lost from sight', async function () {
      this.timeout(20_000)
      const step = fc.oneof(
        {
          weight: 6,
          arbitrary: fc.record({ do: fc.constant('send' as const), n: fc.integer({ min: 1, max: 90 }) }),
        },
        {
          weight: 4,
          arbitrary: fc.record({ do: fc.constant('deliver' as const), n: fc.integer({ min: 1, max: 90 }) }),
        },
        {
          weight: 3,
          arbitrary: fc.record({ do: fc.constant('poll' as const), n: fc.integer({ min: 1, max: 3 }) }),
        },
        { weight: 3, arbitrary: fc.record({ do: fc.constant('arrived' as const), n: fc.constant(0) }) },
        { weight: 1, arbitrary: fc.record({ do: fc.constant('down' as const), n: fc.constant(0) }) },
        { weight: 2, arbitrary: fc.record({ do: fc.constant('up' as const), n: fc.constant(0) }) },
      )
      await fc.assert(
        fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
          const run = await makeRig()
          run.device.setUp(true)
          let next = 0
          let offered = 0
          const arrived: number[] = []
          const received: number[] = []
          for (const { do: action, n } of steps) {
            const contents = Array.from({ length: n }, () => numbered(next++ & 0xffff))
            if (action === 'send') {
              const rest = run.host.sendBytes(...contents)
              offered += n - rest.length
              for (const packet of rest) packet.free()
            } else if (action === 'deliver') await run.deliver(...contents)
            else if (action === 'poll') run.host.poll(n)
            else if (action === 'arrived') arrived.push(...(await run.arrived()).map(numberOf))
            else run.device.setUp(action === 'up')
            received.push(...run.host.received.map((packet) => numberOf(packet.toUint8Array())))
            for (const packet of run.host.received.splice(0)) packet.free()
          }
          arrived.push(...(await run.arrived()).map(numberOf))
          received.push(...run.host.takeReceived().map(numberOf))
          await run.device.close()
          await run.finish?.()
          run.host.takeReceived()
          expect(arrived, 'order sent').to.deep.equal([...arrived].sort((a, b) => a - b))
          expect(received, 'order received').to.deep.equal([...received].sort((a, b) => a - b))
          expect(run.host.violations).to.deep.equal([])
          expect(run.host.pool.outstanding).to.equal(0)
          rxOrTxAccounted(run.device, offered)
        }),
        { numRuns: 40 },
      )
    })
  })
}

/** Every packet that the device took was sent or dropped: none is unaccounted for. */
function rxOrTxAccounted(device: LinkDevice, offered: number): void {
  const { txPackets, txDropped, txErrors, rxDropped } = device.stats.snapshot()
  if (device.type === 'loopback') expect(txPackets + txDropped + rxDropped).to.be.at.least(offered)
  else expect(txPackets + txDropped + txErrors).to.equal(offered)
}
