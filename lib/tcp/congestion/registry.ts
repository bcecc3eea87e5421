/** The algorithms of congestion control by the names that `tcp_congestion_control` takes. */
import type { CongestionControlName } from '../../sysctl/tcp-settings.ts'
import type { CongestionControl } from './congestion-control.ts'
import { Cubic } from './cubic.ts'
import { NewReno } from './new-reno.ts'

const ALGORITHMS: Readonly<Record<CongestionControlName, new () => CongestionControl>> = {
  reno: NewReno,
  cubic: Cubic,
}

/** A new one, for one connection. */
export function congestionControl(name: CongestionControlName): CongestionControl {
  return new ALGORITHMS[name]()
}
