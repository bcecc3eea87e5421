/**
 * What the kernel and the stack leave to one another on a TUN: checksums that nobody computes, and super-segments
 * that nobody cuts. It is asked for when the device is opened, and what this kernel does not know is done without,
 * the newest first: UDP super-segments (Linux 6.2), then ECN on TCP ones, then these altogether.
 */
import { Errno, invalidArgument } from '../../errors.ts'
import { type LinkFeatures, NO_FEATURES } from '../link-device.ts'
import { InterfaceProperty, TunFlag, type TunHandle } from './driver.ts'

/** Each holds in both directions. */
export interface TunOffload {
  /** Packets may come and go with `Checksum.PARTIAL`. */
  readonly checksum: boolean
  /** TCP super-segments (TSO); needs `checksum`. */
  readonly tso: boolean
  /** Also those whose first segment alone carries CWR (ECN); needs `tso`. */
  readonly tsoEcn: boolean
  /** UDP super-segments (USO, `UDP_SEGMENT`); needs `checksum`. */
  readonly uso: boolean
}

export const ALL_OFFLOADS: TunOffload = { checksum: true, tso: true, tsoEcn: true, uso: true }
export const NO_OFFLOADS: TunOffload = { checksum: false, tso: false, tsoEcn: false, uso: false }

const NAMES = ['checksum', 'tso', 'tsoEcn', 'uso'] as const

/** The `offload` option in full. What needs something that was not asked for is left out, as by `ethtool -K`. */
export function wantedOffload(option: boolean | Partial<TunOffload> | undefined): TunOffload {
  if (option === undefined || option === true) return ALL_OFFLOADS
  if (option === false) return NO_OFFLOADS
  const valid =
    typeof option === 'object' &&
    option !== null &&
    Object.entries(option).every(
      ([name, value]) =>
        NAMES.includes(name as keyof TunOffload) && (value === undefined || typeof value === 'boolean'),
    )
  if (!valid) {
    throw invalidArgument('offload', option, `true, false, or an object of booleans: ${NAMES.join(', ')}`)
  }
  const { checksum = true, tso = true, tsoEcn = true, uso = true } = option
  return { checksum, tso: checksum && tso, tsoEcn: checksum && tso && tsoEcn, uso: checksum && uso }
}

/** Asks the kernel for as much of it as there is. Returns what was granted, or a negative errno other than `EINVAL`. */
export function negotiateOffload(handle: TunHandle, wanted: TunOffload): TunOffload | number {
  for (const offer of offers(wanted)) {
    const result = handle.setProperty(InterfaceProperty.OFFLOAD, flagsOf(offer))
    if (result >= 0) return offer
    if (result !== -Errno.EINVAL) return result
  }
  return NO_OFFLOADS
}

function offers(wanted: TunOffload): TunOffload[] {
  const withoutUso = { ...wanted, uso: false }
  const withoutEcn = { ...withoutUso, tsoEcn: false }
  return [wanted, withoutUso, withoutEcn, { ...withoutEcn, tso: false }, NO_OFFLOADS]
}

function flagsOf({ checksum, tso, tsoEcn, uso }: TunOffload): number {
  let flags = 0
  if (checksum) flags |= TunFlag.CSUM
  if (tso) flags |= TunFlag.TSO4 | TunFlag.TSO6
  if (tsoEcn) flags |= TunFlag.TSO_ECN
  // The kernel takes USO for both families or for none.
  if (uso) flags |= TunFlag.USO4 | TunFlag.USO6
  return flags
}

/** What the stack may hand to a device that was granted this. */
export function featuresOf(offload: TunOffload): LinkFeatures {
  return { ...NO_FEATURES, ...offload, gather: true }
}
