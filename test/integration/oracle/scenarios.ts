/** The scenarios, each a configuration and the packets that are sent into it. */
import type { Scenario } from './scenario.ts'
import { FRAGMENTS_SCENARIOS } from './scenarios/fragments.ts'
import { HOST_SCENARIOS } from './scenarios/host.ts'
import { ICMP_SCENARIOS } from './scenarios/icmp.ts'
import { LOOPBACK_SCENARIOS } from './scenarios/loopback.ts'
import { OPTIONS_SCENARIOS } from './scenarios/options.ts'
import { ROUTER_SCENARIOS } from './scenarios/router.ts'
import { TCP_SCENARIOS } from './scenarios/tcp.ts'

export const SCENARIOS: readonly Scenario[] = [
  ...HOST_SCENARIOS,
  ...OPTIONS_SCENARIOS,
  ...ICMP_SCENARIOS,
  ...FRAGMENTS_SCENARIOS,
  ...ROUTER_SCENARIOS,
  ...LOOPBACK_SCENARIOS,
  ...TCP_SCENARIOS,
]
