/** Settings, from `sysctl -a`: those that a stack has, of the devices that it has. */
import { Sysctl } from '../sysctl/sysctl.ts'
import { CONGESTION_CONTROLS } from '../sysctl/tcp-settings.ts'
import type { KernelState } from './from-kernel.ts'
import type { Skips } from './kernel-row.ts'
import type { LinkModel } from './model.ts'

export function readSettings(
  given: KernelState['sysctl'],
  links: readonly LinkModel[],
  skips: Skips,
): [string, string][] {
  if (given === undefined) return []
  const known = new Sysctl()
  for (const { index, name } of links) known.addDevice(index, name)
  const names = new Set(known.names())
  const settings: [string, string][] = []
  const unknown: string[] = []
  for (const [written, value] of typeof given === 'string' ? linesOf(given) : Object.entries(given)) {
    // `sysctl -a` writes a dot in the name of a device as a slash.
    const name = written.replaceAll('/', '.')
    if (!names.has(name)) unknown.push(written)
    else if (isTaken(name, String(value))) settings.push([name, String(value)])
    else skips.add('sysctl', 'a stack does not take this value', `${name} = ${String(value)}`)
  }
  // One line for all of them: TCP and ARP alone have a hundred.
  if (unknown.length > 0) skips.add('sysctl', 'a stack has no such settings', unknown)
  return settings
}

/** A kernel may be configured to use what is not here, as an algorithm of congestion control. */
function isTaken(name: string, value: string): boolean {
  if (name !== 'net.ipv4.tcp_congestion_control') return true
  return CONGESTION_CONTROLS.some((algorithm) => algorithm === value)
}

function* linesOf(text: string): Generator<[string, string], void, undefined> {
  for (const line of text.split('\n')) {
    const at = line.indexOf(' = ')
    if (at > 0) yield [line.slice(0, at).trim(), line.slice(at + 3).trim()]
  }
}
