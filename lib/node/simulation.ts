/**
 * `tunstack/sim` where Node is: a run that fails prints the seed that repeats it and writes what crossed the links
 * last as pcapng. The seed may come from outside, so that a failure can be repeated without changing a program.
 */
import { writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { invalidArgument } from '../errors.ts'
import type { SimulationFailure } from '../sim/failure.ts'
import { type SimulateOptions, Simulation } from '../sim/simulation.ts'

export * from '../sim/index.ts'

/**
 * A new network, empty. Without `seed` it takes that of `TUNSTACK_SIM_SEED`, if it is set; without `onFailure` a
 * failing run is described on the standard error, and its packets are written to `TUNSTACK_SIM_DIR`, or to the
 * folder for temporary files.
 * @throws TunstackError `ERR_INVALID_ARG_VALUE`
 */
export function simulate(options: SimulateOptions = {}): Simulation {
  const seed = options.seed ?? seedFromOutside()
  return new Simulation({ onFailure: report, ...options, ...(seed === undefined ? {} : { seed }) })
}

function seedFromOutside(): number | undefined {
  const { TUNSTACK_SIM_SEED: text } = process.env
  if (text === undefined || text === '') return undefined
  if (!/^-?\d+$/.test(text)) throw invalidArgument('TUNSTACK_SIM_SEED', text, 'an integer')
  return Number(text)
}

function report({ seed, summary, pcapng }: SimulationFailure): void {
  const file = join(process.env['TUNSTACK_SIM_DIR'] || tmpdir(), `tunstack-sim-${seed}.pcapng`)
  let where = `; packets: ${file}`
  try {
    writeFileSync(file, pcapng)
  } catch (error) {
    where = `; its packets could not be written: ${(error as Error).message}`
  }
  process.stderr.write(`${summary}${where}\n`)
}
