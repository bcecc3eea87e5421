/** What a run that failed leaves behind: the seed that repeats it, and what crossed the links last. */
import { TunstackError } from '../errors.ts'
import { formatDuration } from '../units.ts'

export interface SimulationFailure {
  readonly error: unknown
  /** `simulate({ seed })` with it repeats the run. */
  readonly seed: number
  /** Nanoseconds of the simulation at which it failed. */
  readonly time: number
  /** The latest packets on all links as a pcapng file; those that were dropped have the reason as comment. */
  readonly pcapng: Uint8Array<ArrayBuffer>
  /** One line: seed and time. */
  readonly summary: string
}

export function failureSummary(seed: number, time: number): string {
  return `simulation failed with seed ${seed} at ${formatDuration(time)}; simulate({ seed: ${seed} }) repeats it`
}

/** The error with `summary` added to its message, or an error around what was thrown if that was none. */
export function annotate(error: unknown, summary: string): unknown {
  if (!(error instanceof Error)) {
    return new TunstackError('ERR_SIMULATION_FAILED', `${String(error)}\n(${summary})`, { cause: error })
  }
  const { message, stack } = error
  try {
    error.message = `${message}\n(${summary})`
    // V8 has put the message into the stack already.
    if (stack?.includes(message) === true) error.stack = stack.replace(message, () => error.message)
  } catch {
    // a frozen error stays as it is
  }
  return error
}
