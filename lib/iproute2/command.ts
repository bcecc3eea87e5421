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

/** The device, or a complaint that there is none. */
export function findDevice(command: Command, name: string): NetDevice | undefined {
  const device = command.stack.devices.byName(name)
  if (device === undefined) command.output.complain(`Cannot find device "${name}"`)
  return device
}
