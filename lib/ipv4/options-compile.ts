/**
 * Compiling options (`ip_options_compile`): the check of what came in or is to go out, and the record of where each
 * option lies. A packet that came in has address and time recorded in it at once, where it asks for that.
 */
import { readIpv4, writeIpv4 } from '../address/ipv4-address.ts'
import { IPV4_MIN_HEADER } from '../wire/ipv4-header.ts'
import {
  IPV4_MAX_OPTIONS,
  IpOption,
  OPTION_LENGTH,
  OPTION_OVERFLOW_FLAG,
  OPTION_POINTER,
  optionLength,
  TimestampFlag,
} from '../wire/ipv4-options.ts'
import { type IpOptions, type OptionsHost, padOptions } from './options.ts'

/**
 * Checks the options of a received packet, whose header `bytes[headerStart…headerStart + headerLength)` has been
 * validated and whose route is known, and records address and time in it where it asks for that. Fills in
 * `options` in any case.
 *
 * Returns 0, or the offset (from the start of the IP header) of the byte that is wrong: the packet is then dropped
 * and answered with Parameter Problem, code 0, that offset as pointer; `options` holds what came before the bad one,
 * and the error carries its echo.
 *
 * The header checksum is **not** mended: {@link forwardOptions} does so if the packet goes on. A quote in an ICMP
 * error of Linux shows the options as recorded, with the checksum as received, which then is wrong;
 * {@link restoreOptions} takes the changes back for a quote that is unchanged (RFC 1122 §3.2.2).
 */
export function compileOptions(
  options: IpOptions,
  bytes: Uint8Array,
  headerStart: number,
  headerLength: number,
  host: OptionsHost,
): number {
  options.clear()
  options.length = headerLength - IPV4_MIN_HEADER
  const start = headerStart + IPV4_MIN_HEADER
  for (let i = 0; i < options.length; i++) options.data[i] = bytes[start + i]!
  return compile(options, bytes, headerStart, host, true, true)
}

/**
 * Finds the options of a header that {@link compileOptions} has passed before, and recorded in: that of a datagram
 * put together from fragments, whose first fragment brought it. Nothing is checked or written.
 */
export function locateOptions(
  options: IpOptions,
  bytes: Uint8Array,
  headerStart: number,
  headerLength: number,
  host: OptionsHost,
): void {
  options.clear()
  options.length = headerLength - IPV4_MIN_HEADER
  const start = headerStart + IPV4_MIN_HEADER
  const end = headerStart + headerLength
  for (let i = 0; i < options.length; i++) options.data[i] = bytes[start + i]!
  for (let at = start; at < end && bytes[at] !== IpOption.END; ) {
    const length = optionLength(bytes, at, end)
    if (length === 0) return
    if (bytes[at] === IpOption.RECORD_ROUTE && options.recordRoute === 0) {
      options.recordRoute = at - headerStart
      // If there was no slot there is none now, and then this is not looked at.
      options.recordNeedsAddress = true
    } else if (bytes[at] === IpOption.TIMESTAMP && options.timestamp === 0) {
      options.timestamp = at - headerStart
      const flag = bytes[at + OPTION_OVERFLOW_FLAG]! & 15
      const last = bytes[at + OPTION_POINTER]! - 9
      options.timestampNeedsAddress = flag === TimestampFlag.ADDRESS
      options.timestampNeedsTime =
        flag === TimestampFlag.TIME ||
        flag === TimestampFlag.ADDRESS ||
        (flag === TimestampFlag.PRESPECIFIED &&
          last >= 4 &&
          !host.isForeignUnicast(readIpv4(bytes, at + last)))
    }
    at += length
  }
}

/**
 * Checks options that are to be sent (`IP_OPTIONS` of a socket): `bytes` as an application gives them, 40 at most.
 * Fills in `options`; a source route loses its first hop to `options.firstHop`. Returns 0, or the offset of the bad
 * byte plus 20 as above (`EINVAL` of setsockopt). What is not a route, time or router alert needs `privileged`
 * (`CAP_NET_RAW`).
 */
export function compileSentOptions(
  options: IpOptions,
  bytes: Uint8Array,
  host: OptionsHost,
  privileged: boolean,
): number {
  options.clear()
  const length = Math.min(bytes.length, IPV4_MAX_OPTIONS)
  for (let i = 0; i < length; i++) options.data[i] = bytes[i]!
  options.length = padOptions(options.data, length)
  return compile(options, options.data, -IPV4_MIN_HEADER, host, false, privileged)
}

/** Of what is to be sent (not `received`) slots are taken but not filled in. */
function compile(
  options: IpOptions,
  bytes: Uint8Array,
  headerStart: number,
  host: OptionsHost,
  received: boolean,
  privileged: boolean,
): number {
  const end = headerStart + IPV4_MIN_HEADER + options.length
  for (let at = headerStart + IPV4_MIN_HEADER; at < end; ) {
    const type = bytes[at]!
    if (type === IpOption.END) {
      // What follows is never looked at, and it must not leak either.
      for (at++; at < end; at++) {
        if (bytes[at] !== IpOption.END) {
          bytes[at] = IpOption.END
          options.changed = true
        }
      }
      return 0
    }
    const length = optionLength(bytes, at, end)
    if (length === 0) return at - headerStart
    let bad = -1
    switch (type) {
      case IpOption.NOP:
        break
      case IpOption.STRICT_SOURCE_ROUTE:
      case IpOption.LOOSE_SOURCE_ROUTE:
        bad = compileSourceRoute(options, bytes, headerStart, at, length, received)
        break
      case IpOption.RECORD_ROUTE:
        bad = compileRecordRoute(options, bytes, headerStart, at, length, host, received)
        break
      case IpOption.TIMESTAMP:
        bad = compileTimestamp(options, bytes, headerStart, at, length, host, received, privileged)
        break
      case IpOption.ROUTER_ALERT:
        if (length < 4) bad = OPTION_LENGTH
        else if (bytes[at + 2] === 0 && bytes[at + 3] === 0) options.routerAlert = at - headerStart
        break
      default:
        // RFC 1122 §3.2.1.8: unknown options are skipped.
        if (!privileged) bad = 0
    }
    if (bad >= 0) return at + bad - headerStart
    at += length
  }
  return 0
}

// The three below return the offset within the option of what is wrong, or -1.

function compileSourceRoute(
  options: IpOptions,
  bytes: Uint8Array,
  headerStart: number,
  at: number,
  length: number,
  received: boolean,
): number {
  if (length < 3) return OPTION_LENGTH
  const pointer = bytes[at + OPTION_POINTER]!
  if (pointer < 4) return OPTION_POINTER
  // RFC 1812 §5.2.4.1: at most one.
  if (options.sourceRoute !== 0) return 0
  if (!received) {
    if (pointer !== 4 || length < 7 || ((length - 3) & 3) !== 0) return OPTION_LENGTH
    options.firstHop = readIpv4(bytes, at + 3)
    // The list moves up by the first hop; building puts the destination behind the last.
    bytes.copyWithin(at + 3, at + 7, at + length)
  }
  options.strictRoute = bytes[at] === IpOption.STRICT_SOURCE_ROUTE
  options.sourceRoute = at - headerStart
  return -1
}

function compileRecordRoute(
  options: IpOptions,
  bytes: Uint8Array,
  headerStart: number,
  at: number,
  length: number,
  host: OptionsHost,
  received: boolean,
): number {
  if (options.recordRoute !== 0) return 0
  if (length < 3) return OPTION_LENGTH
  const pointer = bytes[at + OPTION_POINTER]!
  if (pointer < 4) return OPTION_POINTER
  if (pointer <= length) {
    if (pointer + 3 > length) return OPTION_POINTER
    if (received) {
      writeIpv4(bytes, at + pointer - 1, host.specificDestination())
      options.changed = true
    }
    bytes[at + OPTION_POINTER] = pointer + 4
    options.recordNeedsAddress = true
  }
  options.recordRoute = at - headerStart
  return -1
}

function compileTimestamp(
  options: IpOptions,
  bytes: Uint8Array,
  headerStart: number,
  at: number,
  length: number,
  host: OptionsHost,
  received: boolean,
  privileged: boolean,
): number {
  if (options.timestamp !== 0) return 0
  if (length < 4) return OPTION_LENGTH
  const pointer = bytes[at + OPTION_POINTER]!
  if (pointer < 5) return OPTION_POINTER
  const overflowFlag = bytes[at + OPTION_OVERFLOW_FLAG]!
  if (pointer > length) {
    // With prespecified addresses nobody was left out.
    if ((overflowFlag & 15) !== TimestampFlag.PRESPECIFIED) {
      const overflow = overflowFlag >>> 4
      // The counter is full too: RFC 791 has the packet discarded.
      if (overflow === 15) return OPTION_OVERFLOW_FLAG
      if (received) {
        bytes[at + OPTION_OVERFLOW_FLAG] = (overflowFlag & 15) | ((overflow + 1) << 4)
        options.changed = true
      }
    }
    options.timestamp = at - headerStart
    return -1
  }
  if (pointer + 3 > length) return OPTION_POINTER
  const slot = at + pointer - 1
  let timeAt = slot + 4
  switch (overflowFlag & 15) {
    case TimestampFlag.TIME:
      timeAt = slot
      options.timestampNeedsTime = true
      break
    case TimestampFlag.ADDRESS:
      if (pointer + 7 > length) return OPTION_POINTER
      if (received) writeIpv4(bytes, slot, host.specificDestination())
      options.timestampNeedsAddress = true
      options.timestampNeedsTime = true
      break
    case TimestampFlag.PRESPECIFIED:
      if (pointer + 7 > length) return OPTION_POINTER
      // It may be another host's turn.
      options.timestampNeedsTime = !host.isForeignUnicast(readIpv4(bytes, slot))
      break
    default:
      // A flag that nobody knows: nothing is recorded, but the option is echoed.
      if (!privileged) return OPTION_OVERFLOW_FLAG
  }
  options.timestamp = at - headerStart
  if (!options.timestampNeedsTime) return -1
  bytes[at + OPTION_POINTER] = timeAt + 4 - at + 1
  if (received) {
    writeIpv4(bytes, timeAt, host.millisecondsOfDay())
    options.changed = true
  }
  return -1
}

/**
 * Takes back what {@link compileOptions} wrote, so that the packet can be quoted as it was received. The header
 * checksum is right again if nothing else was changed without mending it.
 */
export function restoreOptions(options: IpOptions, bytes: Uint8Array, headerStart: number): void {
  const start = headerStart + IPV4_MIN_HEADER
  for (let i = 0; i < options.length; i++) bytes[start + i] = options.data[i]!
  options.changed = false
}
