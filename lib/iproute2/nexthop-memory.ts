/**
 * What iproute2 keeps about nexthop objects from one command of a batch to the next: what it was asked to narrow
 * its lists to, how many it has flushed, and objects as it saw them first, which `-d` shows with routes.
 */
import type { NetDevice } from '../device/net-device.ts'
import type { NexthopObjectMessage } from './nexthop-printer.ts'

/** What a list of nexthop objects is narrowed to. */
export interface NexthopFilter {
  groups: boolean
  /** Those of a bridge: said, but it changes nothing. */
  fdb: boolean
  device: NetDevice | undefined
  /** Those over a device that has a master. */
  enslaved: boolean
  /** 0: of anybody. */
  protocol: number
  /** 0: all groups. */
  bucketsOf: number
}

export class NexthopMemory {
  filter: NexthopFilter = {
    groups: false,
    fdb: false,
    device: undefined,
    enslaved: false,
    protocol: 0,
    bucketsOf: 0,
  }
  flushed = 0
  /** By number. */
  readonly seen: Map<number, NexthopObjectMessage> = new Map()
}
