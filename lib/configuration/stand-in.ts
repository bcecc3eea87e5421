/** A stack with devices like those of a configuration, none of which has a wire, and nothing configured. */
import { seededRandom } from '../random/seeded.ts'
import { Stack, type StackOptions } from '../stack/stack.ts'
import { VirtualClock } from '../time/virtual-clock.ts'
import type { ConfigurationModel } from './model.ts'
import { PlaceholderDevice } from './placeholder-device.ts'

/** Numbers of devices that are not there any more can be skipped as far as this. */
const LARGEST_GAP = 100_000

export function standIn(
  { links }: ConfigurationModel,
  options: StackOptions = { clock: new VirtualClock(), random: seededRandom(1) },
): Stack {
  const stack = new Stack({ ...options, loopbackUp: false })
  const byIndex = [...links].sort((a, b) => a.index - b.index)
  let last = stack.loopback.index
  for (const link of byIndex) {
    if (link.loopback) continue
    const gap = link.index - last - 1
    if (gap <= LARGEST_GAP) for (let i = 0; i < gap; i++) stack.devices.takeIndex()
    const device = new PlaceholderDevice({
      ...link,
      carrier: link.carrierSeen ? !link.carrier : link.carrier,
    })
    last = stack.addDevice(device, { up: false }).index
    device.carrier = link.carrier
  }
  return stack
}
