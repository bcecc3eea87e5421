/**
 * What a host and a router do with IP options (RFC 791 §3.1, RFC 1122 §3.2.1.8, RFC 1812 §5.3.13), in Linux's way.
 *
 * A received header is *compiled* once: checked, and what must be recorded is recorded at once, in the packet
 * itself, with the address that this host has towards the sender. What is known of it then lies in one reused
 * {@link IpOptions}, from which the packet is forwarded (the recorded address becomes that of the outgoing device),
 * answered (*echoed*: routes and times are carried on, a source route is turned round) or fragmented. Options that
 * are to be sent are compiled too, then *built* into each header.
 *
 * Who mends the header checksum stands at each function; compiling never does.
 */
import { type Ipv4Address, readIpv4, writeIpv4 } from '../address/ipv4-address.ts'
import { checksum } from '../wire/checksum.ts'
import { IPV4_CHECKSUM, IPV4_DESTINATION, IPV4_MIN_HEADER, IPV4_SOURCE } from '../wire/ipv4-header.ts'
import {
  IPV4_MAX_OPTIONS,
  IpOption,
  OPTION_COPIED,
  OPTION_LENGTH,
  OPTION_OVERFLOW_FLAG,
  OPTION_POINTER,
  optionLength,
  TimestampFlag,
} from '../wire/ipv4-options.ts'

/**
 * Compiled options of one header (`struct ip_options` of Linux). Offsets count from the start of the IP header,
 * 0 meaning that there is no such option. Reused: {@link clear} or compile it anew.
 */
export class IpOptions {
  /** Bytes of options, padding included: header length less 20. */
  length = 0
  /** Loose or strict source route. */
  sourceRoute = 0
  /** Record route. */
  recordRoute = 0
  timestamp = 0
  /** Router alert, value 0: the packet is to be examined by every router (RFC 2113). */
  routerAlert = 0
  strictRoute = false
  /** The source route leads on from here: the packet goes to {@link nextHop} (`srr_is_hit`). */
  sourceRouteHit = false
  /** Bytes of the header differ from what was received, so that its checksum is wrong. */
  changed = false
  /** A slot of the record route has been taken and needs the address of the outgoing device. */
  recordNeedsAddress = false
  timestampNeedsTime = false
  timestampNeedsAddress = false
  /** Of options to send with a source route: the first hop, to which the packet is addressed (`faddr`). */
  firstHop: Ipv4Address = 0
  /** Where a packet whose source route was followed goes next. */
  nextHop: Ipv4Address = 0
  /** Received: the options as they came. To send: the options as they will be built into the header. */
  readonly data = new Uint8Array(IPV4_MAX_OPTIONS)

  clear(): void {
    this.length = 0
    this.sourceRoute = 0
    this.recordRoute = 0
    this.timestamp = 0
    this.routerAlert = 0
    this.strictRoute = false
    this.sourceRouteHit = false
    this.changed = false
    this.recordNeedsAddress = false
    this.timestampNeedsTime = false
    this.timestampNeedsAddress = false
    this.firstHop = 0
    this.nextHop = 0
  }
}

/** What compiling and echoing must know of this host. One object for all packets; asked only when needed. */
export interface OptionsHost {
  /**
   * The address of this host that is recorded for the packet at hand (`fib_compute_spec_dst`): its destination if
   * that is a local unicast address, else the source that would be chosen towards its sender.
   */
  specificDestination(): Ipv4Address
  /** True if the address is a unicast address of another host (`inet_addr_type() == RTN_UNICAST`). */
  isForeignUnicast(address: Ipv4Address): boolean
  /** Milliseconds since midnight UTC. */
  millisecondsOfDay(): number
}

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
  options.length = pad(options.data, length)
  return compile(options, options.data, -IPV4_MIN_HEADER, host, false, privileged)
}

/** Fills up with End of Option List to a multiple of 4. */
function pad(data: Uint8Array, length: number): number {
  let padded = length
  while ((padded & 3) !== 0) data[padded++] = IpOption.END
  return padded
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

/** Kinds of route that {@link followSourceRoute} tells apart. */
export const SourceRouteHop = { NONE: 0, LOCAL: 1, UNICAST: 2 } as const

/**
 * Follows the source route of a received packet (`ip_options_rcv_srr`), where the device accepts such packets at all
 * (`accept_source_route`). `destination` is the kind of the packet's own route, `routeTo` the kind of route to the
 * next hop on the list, for the same sender and device. Hops that are this host's are passed at once.
 *
 * Returns 0: go on, and if `options.sourceRouteHit`, forward to `options.nextHop` by the route looked up last;
 * -1: drop; any other: drop and answer Parameter Problem with that pointer. Does not mend the header checksum.
 */
export function followSourceRoute(
  options: IpOptions,
  bytes: Uint8Array,
  headerStart: number,
  destination: number,
  routeTo: (nextHop: Ipv4Address) => number,
): number {
  if (destination === SourceRouteHop.UNICAST) return options.strictRoute ? IPV4_DESTINATION : 0
  if (destination !== SourceRouteHop.LOCAL) return -1
  const at = headerStart + options.sourceRoute
  const length = bytes[at + OPTION_LENGTH]!
  for (let pointer = bytes[at + OPTION_POINTER]!; pointer <= length; pointer += 4) {
    if (pointer + 3 > length) return options.sourceRoute + OPTION_POINTER
    const nextHop = readIpv4(bytes, at + pointer - 1)
    const hop = routeTo(nextHop)
    if (hop === SourceRouteHop.NONE) return -1
    options.changed = true
    if (hop === SourceRouteHop.UNICAST) {
      options.sourceRouteHit = true
      options.nextHop = nextHop
      return 0
    }
    writeIpv4(bytes, headerStart + IPV4_DESTINATION, nextHop)
  }
  return 0
}

/**
 * Finishes the options of a packet that is forwarded (`ip_forward_options`): its record route gets `outgoing`, the
 * source address towards the next hop, in place of what compiling recorded, and a source route is advanced. As in
 * Linux a timestamp option keeps the address that was recorded on arrival, unless the packet is source-routed.
 *
 * If the header was changed since it was received, **the header checksum is computed anew here**; call it after the
 * TTL has been decremented.
 */
export function forwardOptions(
  options: IpOptions,
  bytes: Uint8Array,
  headerStart: number,
  outgoing: Ipv4Address,
): void {
  if (options.recordNeedsAddress) {
    const at = headerStart + options.recordRoute
    writeIpv4(bytes, at + bytes[at + OPTION_POINTER]! - 5, outgoing)
    options.changed = true
  }
  if (options.sourceRouteHit) forwardSourceRoute(options, bytes, headerStart, outgoing)
  if (!options.changed) return
  options.changed = false
  updateHeaderChecksum(bytes, headerStart, IPV4_MIN_HEADER + options.length)
}

function forwardSourceRoute(
  options: IpOptions,
  bytes: Uint8Array,
  headerStart: number,
  outgoing: Ipv4Address,
): void {
  const at = headerStart + options.sourceRoute
  const length = bytes[at + OPTION_LENGTH]!
  let pointer = bytes[at + OPTION_POINTER]!
  while (pointer + 3 <= length && readIpv4(bytes, at + pointer - 1) !== options.nextHop) pointer += 4
  if (pointer + 3 <= length) {
    writeIpv4(bytes, headerStart + IPV4_DESTINATION, options.nextHop)
    writeIpv4(bytes, at + pointer - 1, outgoing)
    bytes[at + OPTION_POINTER] = pointer + 4
    options.changed = true
  }
  if (options.timestampNeedsAddress) {
    const stamp = headerStart + options.timestamp
    writeIpv4(bytes, stamp + bytes[stamp + OPTION_POINTER]! - 9, outgoing)
    options.changed = true
  }
}

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
  reply.length = pad(reply.data, reply.length)
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

/**
 * Turns the header of a first fragment into that of those after it (`ip_options_fragment`): options that are not
 * copied become No Operation, so that the header keeps its length. The caller computes the header checksum anew.
 */
export function fragmentOptions(bytes: Uint8Array, headerStart: number, headerLength: number): void {
  const end = headerStart + headerLength
  for (let at = headerStart + IPV4_MIN_HEADER; at < end && bytes[at] !== IpOption.END; ) {
    const length = optionLength(bytes, at, end)
    if (length === 0) return
    if ((bytes[at]! & OPTION_COPIED) === 0) bytes.fill(IpOption.NOP, at, at + length)
    at += length
  }
}

function updateHeaderChecksum(bytes: Uint8Array, headerStart: number, headerLength: number): void {
  bytes[headerStart + IPV4_CHECKSUM] = 0
  bytes[headerStart + IPV4_CHECKSUM + 1] = 0
  const check = checksum(bytes, headerStart, headerStart + headerLength)
  bytes[headerStart + IPV4_CHECKSUM] = check >>> 8
  bytes[headerStart + IPV4_CHECKSUM + 1] = check
}
