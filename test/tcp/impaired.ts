/** A device that loses, delays, reorders and duplicates what its stack sends, repeatably from a seed. */
import type { LinkDevice, LinkHost, Packet } from '../../lib/index.ts'
import { BURST_SIZE, Burst, MILLISECOND } from '../../lib/index.ts'

export interface Impairment {
  /** Probabilities. */
  loss?: number
  duplicate?: number
  reorder?: number
  corrupt?: number
  /** Milliseconds that each packet takes, and that a reordered one takes besides. */
  delay?: number
  extra?: number
  seed?: number
  /** Packets at the beginning that nothing happens to. */
  quiet?: number
  /** Probability that a packet is lost on the way in. */
  lossIn?: number
  /** Asked for each packet, with its number; `true`: lost. */
  drop?: (bytes: Uint8Array, n: number) => boolean
}

/** A small generator of its own, so that what the stacks draw does not change the losses. */
function generator(seed: number): () => number {
  let state = (seed * 0x9e3779b9) >>> 0 || 1
  return () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) / 0x1_0000_0000
  }
}

/** The stack's side, to which not everything gets through. */
function losing(host: LinkHost, loss: number, random: () => number): LinkHost {
  const kept = new Burst()
  return {
    pool: host.pool,
    clock: host.clock,
    schedule: () => host.schedule(),
    wake: () => host.wake(),
    changed: () => host.changed(),
    receive: (burst, now) => {
      for (let i = 0; i < burst.length; i++) {
        const packet = burst.packets[i]!
        if (random() < loss) packet.free()
        else kept.push(packet)
      }
      burst.clear()
      if (kept.length > 0) host.receive(kept, now)
    },
  }
}

/** The device, impaired; what is underneath keeps its contract. */
export function impaired(inner: LinkDevice, options: Impairment): LinkDevice {
  const { loss = 0, duplicate = 0, reorder = 0, corrupt = 0, delay = 0, extra = 10, seed = 1 } = options
  const random = generator(seed)
  let host: LinkHost | null = null
  let count = 0
  let closed = false
  const waiting = new Set<Packet>()
  const burst = new Burst()

  const forward = (packet: Packet): void => {
    burst.push(packet)
    if (inner.transmit(burst) === 0) packet.free()
    burst.clear()
  }
  const later = (packet: Packet, milliseconds: number): void => {
    if (milliseconds === 0) return forward(packet)
    waiting.add(packet)
    host!.clock.setTimer(() => {
      if (!waiting.delete(packet)) return
      forward(packet)
    }, milliseconds * MILLISECOND)
  }
  const send = (packet: Packet): void => {
    const n = count++
    if (n < (options.quiet ?? 0)) return later(packet, delay)
    if (closed || random() < loss || options.drop?.(packet.toUint8Array(), n)) return packet.free()
    if (random() < duplicate) {
      const copy = host!.pool.copy(packet)
      if (copy !== null) later(copy, delay)
    }
    if (random() < corrupt && packet.end - packet.start > 40) {
      const at = packet.start + 20 + Math.floor(random() * (packet.end - packet.start - 20))
      packet.bytes[at]! ^= 1 << Math.floor(random() * 8)
    }
    later(packet, delay + (random() < reorder ? random() * extra : 0))
  }
  return new Proxy(inner, {
    get(target, name) {
      switch (name) {
        case 'features':
          return { ...target.features, checksum: corrupt === 0, tso: corrupt === 0 && target.features.tso }
        case 'attach':
          return (given: LinkHost) => {
            host = given
            target.attach(options.lossIn === undefined ? given : losing(given, options.lossIn, random))
          }
        case 'transmit':
          return (given: Burst) => {
            const { length } = given
            for (let i = 0; i < Math.min(length, BURST_SIZE); i++) send(given.packets[i]!)
            return length
          }
        case 'close':
          return () => {
            closed = true
            for (const packet of waiting) packet.free()
            waiting.clear()
            return target.close()
          }
        default: {
          const value: unknown = Reflect.get(target, name, target)
          return typeof value === 'function' ? value.bind(target) : value
        }
      }
    },
  })
}
