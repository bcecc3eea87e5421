/** A pipe whose near end is under test (perhaps inside a decorator) and whose far end is a {@link TestHost}'s. */
import { expect } from 'chai'
import type { LinkDevice } from '../../lib/device/link-device.ts'
import { createPipe } from '../../lib/device/pipe.ts'
import type { Rig } from './link-device-compliance.ts'
import { TestHost } from './test-host.ts'

export function pipeRig(wrap: (near: LinkDevice) => LinkDevice = (near) => near): Rig & { far: TestHost } {
  const [near, farEnd] = createPipe({ queue: 200 })
  const far = new TestHost().connect(farEnd)
  farEnd.setUp(true)
  const device = wrap(near)
  const host = new TestHost().connect(device)
  return {
    device,
    host,
    far,
    arrived: () => far.takeReceived(),
    deliver(...contents): void {
      for (const packet of far.sendBytes(...contents)) packet.free()
    },
    stall(): void {}, // it is stalled as long as nobody polls
    unstall: () => far.poll(1),
    async finish(): Promise<void> {
      await farEnd.close()
      far.takeReceived()
      expect(far.violations).to.deep.equal([])
      expect(far.pool.outstanding).to.equal(0)
    },
  }
}
