/** What every command is given: the stack that it is about, how it is to print, and where to. */
import type { NetDevice } from '../device/net-device.ts'
import type { Stack } from '../stack/stack.ts'
import type { DumpStreams } from './dump.ts'
import type { IpOptions } from './options.ts'
import type { Output } from './outcome.ts'
import type { Words } from './words.ts'

export interface Command {
  readonly stack: Stack
  readonly options: IpOptions
  readonly output: Output
  readonly dumps: DumpStreams
}

/** Carries a command out and gives its exit status. @throws Exit */
export type Handler = (command: Command, words: Words) => number

/** The end of a line within what one object prints: `-o` keeps it in one line. */
export function lineEnd({ options }: Command): string {
  return options.oneline ? '\\' : '\n'
}

/**
 * As iproute2 looks for a device: by its name, by what stands before a colon, as once in the names of addresses,
 * and as `if` with its index.
 */
export function deviceNamed({ stack }: Command, name: string): NetDevice | undefined {
  const { devices } = stack
  const whole = devices.byName(name)
  if (whole !== undefined) return whole
  const colon = name.length < 16 ? name.indexOf(':') : -1
  const main = colon < 0 ? undefined : devices.byName(name.slice(0, colon))
  if (main !== undefined) return main
  const index = /^if\s*\+?(\d+)/.exec(name)
  return index === null ? undefined : devices.byIndex(Number(index[1]))
}

/** The device, or a complaint that there is none. */
export function findDevice(command: Command, name: string): NetDevice | undefined {
  const device = deviceNamed(command, name)
  if (device === undefined) command.output.complain(`Cannot find device "${name}"`)
  return device
}
