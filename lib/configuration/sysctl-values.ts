/**
 * Settings that differ from those of a fresh stack, in an order in which they can be written. Some writes have
 * consequences: `ip_forward` for every device, `conf.default` for devices that were never written to. So a device
 * is listed too where its own value is the fresh one but what it would have taken over is not.
 */
import { TunstackError } from '../errors.ts'
import { Sysctl } from '../sysctl/sysctl.ts'

const CONF = 'net.ipv4.conf.'

/** Device and setting of a name under `net.ipv4.conf`: a device's name may hold dots. */
function split(name: string): { device: string; field: string } | undefined {
  if (!name.startsWith(CONF)) return undefined
  const at = name.lastIndexOf('.')
  return { device: name.slice(CONF.length, at), field: name.slice(at + 1) }
}

/** Those without consequences come last, those of single devices last of all. */
function rank(name: string): number {
  if (name === 'net.ipv4.ip_forward') return 0
  const device = split(name)?.device
  return device === 'all' ? 1 : device === 'default' ? 2 : device === undefined ? 3 : 4
}

/** Every name, so that what follows from a write is written afterwards. */
export function namesInOrder(sysctl: Sysctl): string[] {
  return sysctl.names().sort((a, b) => rank(a) - rank(b))
}

/** The value that each has in a fresh stack. */
export function freshValue(fresh: Sysctl, name: string): string {
  const device = split(name)
  // A fresh device is like `default`.
  const known = device === undefined || device.device === 'all'
  return fresh.get(known ? name : `${CONF}default.${device.field}`)
}

export function changedSysctls(sysctl: Sysctl): [string, string][] {
  const fresh = new Sysctl()
  const changed: [string, string][] = []
  const moved = new Set<string>()
  for (const name of namesInOrder(sysctl)) {
    const value = sysctl.get(name)
    const device = split(name)
    const same = value === freshValue(fresh, name)
    if (!same && name === 'net.ipv4.ip_forward') moved.add('forwarding').add('all.accept_redirects')
    if (!same && device?.device === 'default') moved.add(device.field)
    const follows =
      device !== undefined && (moved.has(device.field) || moved.has(`${device.device}.${device.field}`))
    if (!same || follows) changed.push([name, value])
  }
  return writableOrder(changed)
}

/** Some values are bounded by others: what a fresh stack refuses is written once the others are. */
function writableOrder(values: readonly [string, string][]): [string, string][] {
  const trial = new Sysctl()
  const known = new Set(trial.names())
  const ordered: [string, string][] = []
  let open = values
  while (open.length > 0) {
    const refused: [string, string][] = []
    for (const each of open) (!known.has(each[0]) || takes(trial, each) ? ordered : refused).push(each)
    if (refused.length === open.length) return ordered.concat(refused)
    open = refused
  }
  return ordered
}

function takes(sysctl: Sysctl, [name, value]: readonly [string, string]): boolean {
  try {
    sysctl.set(name, value)
    return true
  } catch (error) {
    if (error instanceof TunstackError) return false
    throw error
  }
}

/** A setting that was refused. */
export interface RefusedSysctl {
  name: string
  value: string
  error: TunstackError
}

/**
 * Gives the stack these settings, and every other its fresh value. Some are bounded by others, so what is refused
 * is tried again after the rest.
 */
export function applySysctls(sysctl: Sysctl, wanted: ReadonlyMap<string, string>): RefusedSysctl[] {
  const fresh = new Sysctl()
  const refused: RefusedSysctl[] = []
  for (const [name, value] of wanted) {
    try {
      sysctl.get(name)
    } catch (error) {
      if (!(error instanceof TunstackError)) throw error
      refused.push({ name, value, error })
    }
  }
  const names = namesInOrder(sysctl)
  for (let pass = 0; ; pass++) {
    let changed = false
    const open: RefusedSysctl[] = []
    for (const name of names) {
      const value = wanted.get(name) ?? freshValue(fresh, name)
      if (normal(sysctl.get(name)) === normal(value)) continue
      try {
        sysctl.set(name, value)
        changed = true
      } catch (error) {
        if (!(error instanceof TunstackError)) throw error
        open.push({ name, value, error })
      }
    }
    if (open.length === 0 && !changed) return refused
    if (!changed || pass === 3) return refused.concat(open)
  }
}

function normal(value: string): string {
  return value.trim().replace(/\s+/g, ' ')
}
