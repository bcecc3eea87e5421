/**
 * Options of what this host sends: those of an answer, made from the packet that it answers (`ip_options_echo`), and
 * the building of options into a header (`ip_options_build`).
 */
import { type Ipv4Address, readIpv4, writeIpv4 } from '../address/ipv4-address.ts'
import { IPV4_MIN_HEADER, IPV4_SOURCE } from '../wire/ipv4-header.ts'
import { OPTION_LENGTH, OPTION_OVERFLOW_FLAG, OPTION_POINTER, TimestampFlag } from '../wire/ipv4-options.ts'
import { type IpOptions, type OptionsHost, padOptions } from './options.ts'

/**
 * Makes the options of an answer to a received packet (`ip_options_echo`; RFC 1122 §3.2.2.6, §3.2.1.8): record route
 * and timestamps are carried on, each with one more slot taken where there is one, a source route is turned round;
 * all else is left out. `options` and `bytes` are the received packet's, after {@link compileOptions}; `reply` gets
 * `data` and `length`, to be built into the header by {@link buildOptions}. With `reply.sourceRoute` set, the answer
 * goes to `reply.firstHop`.
 *
 * Returns false if the slots don't come out even: then, as in Linux, no answer is sent.
 */
export function echoOptions(
  reply: IpOptions,
  options: IpOptions,
  bytes: Uint8Array,
  headerStart: number,
  host: OptionsHost,
): boolean {
  reply.clear()
  if (options.recordRoute !== 0) {
    const at = echoCopy(reply, bytes, headerStart + options.recordRoute)
    const data = reply.data
    const pointer = data[at + OPTION_POINTER]!
    const length = data[at + OPTION_LENGTH]!
    reply.recordRoute = at + IPV4_MIN_HEADER
    if (options.recordNeedsAddress && pointer <= length) {
      if (pointer + 3 > length) return false
      data[at + OPTION_POINTER] = pointer + 4
      reply.recordNeedsAddress = true
    }
  }
  if (options.timestamp !== 0 && !echoTimestamp(reply, options, bytes, headerStart, host)) return false
  if (options.sourceRoute !== 0) echoSourceRoute(reply, options, bytes, headerStart)
  reply.length = padOptions(reply.data, reply.length)
  return true
}

/** Copies one option behind what `reply` has; returns its offset in `reply.data`. */
function echoCopy(reply: IpOptions, bytes: Uint8Array, from: number): number {
  const at = reply.length
  const length = bytes[from + OPTION_LENGTH]!
  for (let i = 0; i < length; i++) reply.data[at + i] = bytes[from + i]!
  reply.length += length
  return at
}

function echoTimestamp(
  reply: IpOptions,
  options: IpOptions,
  bytes: Uint8Array,
  headerStart: number,
  host: OptionsHost,
): boolean {
  const at = echoCopy(reply, bytes, headerStart + options.timestamp)
  const data = reply.data
  const length = data[at + OPTION_LENGTH]!
  let pointer = data[at + OPTION_POINTER]!
  reply.timestamp = at + IPV4_MIN_HEADER
  if (pointer > length) return true
  if (options.timestampNeedsAddress) {
    if (pointer + 3 > length) return false
    reply.timestampNeedsAddress = true
    pointer += 4
  }
  if (options.timestampNeedsTime) {
    if (pointer + 3 > length) return false
    if ((data[at + OPTION_OVERFLOW_FLAG]! & 15) !== TimestampFlag.PRESPECIFIED) {
      reply.timestampNeedsTime = true
      pointer += 4
    } else if (pointer + 7 <= length && !host.isForeignUnicast(readIpv4(data, at + pointer - 1))) {
      reply.timestampNeedsTime = true
      pointer += 8
    }
  }
  data[at + OPTION_POINTER] = pointer
  return true
}

/** The hops already passed, in reverse; the last of them is where the answer is addressed first. */
function echoSourceRoute(reply: IpOptions, options: IpOptions, bytes: Uint8Array, headerStart: number): void {
  const from = headerStart + options.sourceRoute
  const length = bytes[from + OPTION_LENGTH]!
  let slot = Math.min(bytes[from + OPTION_POINTER]!, length + 1) - 4
  if (slot <= 3) return
  const at = reply.length
  const firstHop = readIpv4(bytes, from + slot - 1)
  let size = 4
  for (slot -= 4; slot > 3; slot -= 4, size += 4) {
    writeIpv4(reply.data, at + size - 1, readIpv4(bytes, from + slot - 1))
  }
  // RFC 1812 §5.2.4.1: some put the sender itself at the head of the list.
  if (readIpv4(bytes, headerStart + IPV4_SOURCE) === readIpv4(bytes, from + slot + 3)) size -= 4
  if (size <= 3) return
  reply.firstHop = firstHop
  reply.data[at] = bytes[from]!
  reply.data[at + OPTION_LENGTH] = size + 3
  reply.data[at + OPTION_POINTER] = 4
  reply.sourceRoute = at + IPV4_MIN_HEADER
  reply.strictRoute = options.strictRoute
  reply.length += size + 3
}

/**
 * Writes options to send into a header (`ip_options_build`) whose room for them, `options.length` bytes behind the
 * first 20, is the caller's doing, and fills in `source` (of the header) and the time where slots wait for them.
 * `destination` is the last hop if there is a source route. The caller sets the header length and computes the
 * header checksum afterwards. `options` stays as it is and can be built again.
 */
export function buildOptions(
  options: IpOptions,
  bytes: Uint8Array,
  headerStart: number,
  source: Ipv4Address,
  destination: Ipv4Address,
  host: OptionsHost,
): void {
  const start = headerStart + IPV4_MIN_HEADER
  for (let i = 0; i < options.length; i++) bytes[start + i] = options.data[i]!
  if (options.sourceRoute !== 0) {
    const at = headerStart + options.sourceRoute
    writeIpv4(bytes, at + bytes[at + OPTION_LENGTH]! - 4, destination)
  }
  if (options.recordNeedsAddress) {
    const at = headerStart + options.recordRoute
    writeIpv4(bytes, at + bytes[at + OPTION_POINTER]! - 5, source)
  }
  const at = headerStart + options.timestamp
  const pointer = bytes[at + OPTION_POINTER]!
  if (options.timestampNeedsAddress) writeIpv4(bytes, at + pointer - 9, source)
  if (options.timestampNeedsTime) writeIpv4(bytes, at + pointer - 5, host.millisecondsOfDay())
}
