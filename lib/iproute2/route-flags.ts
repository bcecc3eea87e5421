/** The flags of a route, of a hop, of a nexthop object, by their names. */
import { NexthopFlag } from '../route/rtnetlink.ts'
import type { Printer } from './printer.ts'

/** `RTM_F_NOTIFY`, as flag of a route and of a decision. */
const NOTIFY = 0x100
/** The bit that a route kept in hardware would have, which is also that of a multicast decision. */
const OFFLOAD_FAILED = 0x20000000

const FLAG_NAMES = [
  [NexthopFlag.DEAD, 'dead'],
  [NexthopFlag.ONLINK, 'onlink'],
  [NexthopFlag.PERVASIVE, 'pervasive'],
  [NOTIFY, 'notify'],
  [NexthopFlag.LINKDOWN, 'linkdown'],
  [OFFLOAD_FAILED, 'rt_offload_failed'],
] as const

export function printFlags(printer: Printer, flags: number): void {
  printer.openArray('flags')
  for (const [flag, name] of FLAG_NAMES) if ((flags & flag) !== 0) printer.element(name, `${name} `)
  printer.closeArray()
}
