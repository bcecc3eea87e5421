/** The algorithms of congestion control by the names that `tcp_congestion_control` takes. */
import type { Random } from '../../random/random.ts'
import type { CongestionControlName } from '../../sysctl/tcp-settings.ts'
import { Bbr } from './bbr.ts'
import type { CongestionControl } from './congestion-control.ts'
import { Cubic } from './cubic.ts'
import { NewReno } from './new-reno.ts'

const ALGORITHMS: Readonly<Record<CongestionControlName, new (random: Random) => CongestionControl>> = {
  reno: NewReno,
  cubic: Cubic,
  bbr: Bbr,
}

/** A new one, for one connection. */
export function congestionControl(name: CongestionControlName, random: Random): CongestionControl {
  return new ALGORITHMS[name](random)
}
