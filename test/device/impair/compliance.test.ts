import { impairDevice } from '../../../lib/device/impair/impair.ts'
import { seededRandom } from '../../../lib/random/seeded.ts'
import { MILLISECOND } from '../../../lib/time/clock.ts'
import type { VirtualClock } from '../../../lib/time/virtual-clock.ts'
import { linkDeviceCompliance, type Rig } from '../link-device-compliance.ts'
import { pipeRig } from '../pipe-rig.ts'

linkDeviceCompliance('An impaired device without effects', () =>
  pipeRig((near) => impairDevice(near, { random: seededRandom(1) })),
)

/** What is under way has arrived before anybody looks. */
function delayed(): Rig {
  const effects = { delay: '5ms', jitter: '2ms', rate: '1gbit', queue: 5000 } as const
  const rig = pipeRig((near) => impairDevice(near, { out: effects, in: effects, random: seededRandom(1) }))
  const clock = rig.host.clock as VirtualClock
  const pass = (): void => void clock.advance(100 * MILLISECOND)
  return {
    ...rig,
    arrived() {
      pass()
      return rig.arrived()
    },
    async deliver(...contents) {
      for (let i = 0; i < contents.length; i += 64) {
        await rig.deliver(...contents.slice(i, i + 64))
        rig.host.poll()
        pass()
      }
    },
  }
}

linkDeviceCompliance('An impaired device with delay, jitter and rate', delayed, { stalls: false })
