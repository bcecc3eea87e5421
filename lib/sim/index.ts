/** `tunstack/sim`: simulated networks. */
export type { ImpairedDevice, ImpairOptions } from '../device/impair/impair.ts'
export type { Impairment, LinkPath, PathCounters } from '../device/impair/link-path.ts'
export type { CoDelOptions, DropTailOptions, QueueOption } from '../device/impair/link-queue.ts'
export type { BurstLoss } from '../device/impair/loss.ts'
export type { NatDevice, NatFiltering, NatMapping, NatOptions } from '../device/nat/nat.ts'
export type { Duration, Probability, Rate, Size } from '../units.ts'
export type { SimulationFailure } from './failure.ts'
export type { Hold } from './holds.ts'
export type { Host, HostOptions } from './host.ts'
export type { Link, LinkOptions } from './link.ts'
export type { LinkPacket } from './link-packet.ts'
export {
  type NetworkCapture,
  type RunOptions,
  type SimulateOptions,
  Simulation,
  simulate,
} from './simulation.ts'
