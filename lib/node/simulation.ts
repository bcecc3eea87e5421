/**
 * `tunstack/sim` where Node is: hosts have Node's own sockets, which know the other hosts by name, and timers in the
 * time of the network. A run that fails prints the seed that repeats it and writes what crossed the links last as
 * pcapng. The seed may come from outside, so that a failure can be repeated without changing a program.
 */
import { writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { invalidArgument } from '../errors.ts'
import type { SimulationFailure } from '../sim/failure.ts'
import type { Host } from '../sim/host.ts'
import { type SimulateOptions, Simulation } from '../sim/simulation.ts'
import { systemClock } from '../time/system-clock.ts'
import { Hosts, type Names } from './dns/hosts.ts'
import { NodeHost } from './simulated-host.ts'
import { installTimers } from './timers/install.ts'
import { timersOf, type VirtualTimers } from './timers/virtual-timers.ts'

export * from '../sim/index.ts'
export { NodeHost as Host, NodeSimulation as Simulation }

/** With the runtime's timers as they are now: a simulation may put others in their place. */
const machine = systemClock()

class NodeSimulation extends Simulation<NodeHost> {
  readonly #realTime: boolean

  /** Use {@link simulate}. */
  constructor(options: SimulateOptions = {}) {
    super({ machine, ...options })
    this.#realTime = options.realTime === true
  }

  /**
   * `setTimeout`, `setInterval`, `setImmediate`, what clears them, and `promises` of `node:timers`, in the time of
   * this network.
   */
  get timers(): VirtualTimers {
    return timersOf(this.clock)
  }

  /**
   * Puts {@link timers} in the place of the global ones, and of those of `node:timers` and `node:timers/promises`,
   * until what comes back is disposed of or called. With `realTime` it does nothing.
   * @throws TunstackError `ERR_SIMULATION_TIMERS` if those of a simulation are there already
   */
  useTimers(): (() => void) & Disposable {
    const restore = this.#realTime ? () => {} : installTimers(this.timers)
    return Object.assign(restore, { [Symbol.dispose]: restore })
  }

  /** @internal */
  protected override makeHost(...parts: ConstructorParameters<typeof Host>): NodeHost {
    return new NodeHost(parts, new HostNames(this), (what) => this.hold(what))
  }
}

const LOCAL = new Hosts()

/** Each host is known by its name, whatever its addresses are at the time. */
class HostNames implements Names {
  readonly #simulation: NodeSimulation

  constructor(simulation: NodeSimulation) {
    this.#simulation = simulation
  }

  addresses(name: string, family: 0 | 4 | 6): string[] {
    const wanted = name.toLowerCase().replace(/\.$/, '')
    const host = this.#simulation.hosts.find((each) => each.name.toLowerCase() === wanted)
    if (host === undefined) return LOCAL.addresses(name, family)
    return family === 6 ? [] : addressesOf(host)
  }

  names(address: string): string[] {
    const own = this.#simulation.hosts.filter((host) => addressesOf(host).includes(address))
    return own.length > 0 ? own.map(({ name }) => name) : LOCAL.names(address)
  }
}

/** Loopback's aside. */
function addressesOf(host: Host): string[] {
  return host.interfaces
    .filter((each) => each.name !== 'lo')
    .flatMap(({ addresses }) => addresses.map((address) => address.split('/')[0]!))
}

/**
 * A new network, empty. Without `seed` it takes that of `TUNSTACK_SIM_SEED`, if it is set; without `onFailure` a
 * failing run is described on the standard error, and its packets are written to `TUNSTACK_SIM_DIR`, or to the
 * folder for temporary files.
 * @throws TunstackError `ERR_INVALID_ARG_VALUE`
 */
export function simulate(options: SimulateOptions = {}): NodeSimulation {
  const seed = options.seed ?? seedFromOutside()
  return new NodeSimulation({ onFailure: report, ...options, ...(seed === undefined ? {} : { seed }) })
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
