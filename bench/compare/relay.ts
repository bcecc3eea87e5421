/**
 * The path between two namespaces: it holds the far ends of two TUN devices and carries packets from one to the
 * other, each direction through a {@link LinkPath} of its own. The path is made anew for each run, with a seed, so
 * that the same seed loses the same packets by their number.
 *
 *     relay.ts DEVICE DEVICE      then orders in lines of JSON
 */
import { LinkPath, type PathCounters } from '../../lib/device/impair/link-path.ts'
import { openTun, type TunDevice } from '../../lib/device/tun/index.ts'
import { type Burst, type Impairment, type LinkHost, PacketPool, seededRandom } from '../../lib/index.ts'
import { Random } from '../../lib/random/random.ts'
import { DropReason } from '../../lib/wire/drop-reason.ts'
import { FineClock } from './fine-clock.ts'
import { answer, onCommand } from './lines.ts'

/** What a path is to be. */
export interface PathOrder {
  seed: number
  forward: Impairment
  backward: Impairment
}

/** Lays a path, or asks for a report on the one that is there. */
interface RelayOrder {
  id: number
  lay?: PathOrder
}

export interface RelayReport {
  forward: PathCounters
  backward: PathCounters
  /** How late the relay's timers were, in µs. */
  lateness: { mean: number; worst: number }
}

const pool = new PacketPool()
const clock = new FineClock()

/** One end: what comes in from its namespace goes into {@link path}, which leads to the other end. */
class End implements LinkHost {
  readonly pool = pool
  readonly clock = clock
  readonly device: TunDevice
  path: LinkPath | null = null
  /** The path that leads here. */
  from: LinkPath | null = null

  constructor(device: TunDevice) {
    this.device = device
    device.attach(this)
  }

  receive(burst: Burst): void {
    for (let i = 0; i < burst.length; i++) {
      if (this.path === null) burst.packets[i]!.free()
      else this.path.offer(burst.packets[i]!)
    }
    burst.clear()
    this.path?.flush()
  }

  wake(): void {
    this.from?.resume()
  }

  schedule(): void {}
  changed(): void {}
}

const [left, right] = await Promise.all(
  process.argv.slice(2, 4).map(async (name) => new End(await openTun({ name, up: false, offload: false }))),
)

function lay(from: End, to: End, random: Random, impairment: Impairment): LinkPath {
  from.path?.clear(DropReason.NOT_SPECIFIED)
  const path = new LinkPath(
    random,
    { deliver: (burst) => to.device.transmit(burst), drop: (packet) => packet.free() },
    impairment,
  )
  path.attach(clock)
  from.path = to.from = path
  return path
}

onCommand<RelayOrder>(({ id, lay: order }) => {
  if (order !== undefined) {
    // Each direction has its own share of chance: what comes back does not change what is lost on the way there.
    lay(left!, right!, new Random(seededRandom(order.seed)), order.forward)
    lay(right!, left!, new Random(seededRandom(~order.seed)), order.backward)
    Object.assign(clock.late, { total: 0, count: 0, worst: 0 })
    return answer({ id, laid: true })
  }
  const { total, count, worst } = clock.late
  const lateness = { mean: Math.round(total / Math.max(1, count) / 1e3), worst: Math.round(worst / 1e3) }
  const report: RelayReport = { forward: left!.path!.counters, backward: right!.path!.counters, lateness }
  answer({ id, report })
})

for (const { device } of [left!, right!]) device.setUp(true)
console.log('ready')
process.on('SIGTERM', () => process.exit(0))
