/** The process of one scenario: `scenario.ts <name>`, already inside a network namespace of its own. */
import { execFileSync } from 'node:child_process'
import { errors } from './scenarios/errors.ts'
import { lifecycle } from './scenarios/lifecycle.ts'
import { offload } from './scenarios/offload.ts'
import { opening } from './scenarios/opening.ts'
import { traffic } from './scenarios/traffic.ts'
import { tuntap2 } from './scenarios/tuntap2.ts'

const scenarios: Record<string, () => Promise<void>> = {
  ...opening,
  ...traffic,
  ...offload,
  ...lifecycle,
  ...errors,
  ...tuntap2,
}

const name = process.argv[2] ?? ''
const scenario = scenarios[name]
if (scenario === undefined) throw new Error(`no scenario '${name}'`)
execFileSync('ip', ['link', 'set', 'lo', 'up'])
await scenario()
