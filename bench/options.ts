/** The command line of `npm run bench`. */
import { parseArgs } from 'node:util'

export interface BenchOptions {
  /** Names of benchmarks; empty for all. */
  only: string[]
  repeats: number
  /** Small sizes and few repeats, to see that everything works: its figures mean nothing. */
  quick: boolean
  json: string | undefined
  /** Folder for CPU profiles of tunstack in `echo`, `forward` and `http`; the figures of such a run mean nothing. */
  profile: string | undefined
}

export const HELP = `Usage: npm run bench -- [--only NAME]… [--repeats N] [--quick] [--json FILE] [--profile DIR]

Measures tunstack against references in the same run, in turns, and prints one table. Needs root on Linux.

  --only NAME   echo, forward, bulk, tcp, http, device, micro, memory; may be given several times; or fib and gateway, which run only when named
  --repeats N   rounds, 5 by default; the table has median and spread
  --quick       small sizes and 2 rounds: shows that it runs, not how fast
  --json FILE   every sample, for comparing runs
  --profile DIR CPU profiles of tunstack in echo, forward and http, for the developer tools of a browser`

/** @throws TypeError, RangeError for what it does not know */
export function parseOptions(args: string[], names: readonly string[]): BenchOptions | null {
  const { values } = parseArgs({
    args,
    options: {
      only: { type: 'string', multiple: true, default: [] },
      repeats: { type: 'string' },
      quick: { type: 'boolean', default: false },
      json: { type: 'string' },
      profile: { type: 'string' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  })
  if (values.help) return null
  const unknown = values.only.find((name) => !names.includes(name))
  if (unknown !== undefined) throw new RangeError(`--only ${unknown}: there are ${names.join(', ')}`)
  const repeats = values.repeats ?? (values.quick ? '2' : '5')
  if (!/^[1-9]\d{0,2}$/.test(repeats))
    throw new RangeError(`--repeats takes a number from 1 to 999; got '${repeats}'`)
  const { only, quick, json, profile } = values
  return { only, repeats: Number(repeats), quick, json, profile }
}
