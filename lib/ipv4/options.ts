/**
 * What is known of the options of an IPv4 header (RFC 791 §3.1, RFC 1122 §3.2.1.8, RFC 1812 §5.3.13), in Linux's way.
 *
 * A received header is *compiled* once (`options-compile.ts`): checked, and what must be recorded is recorded at once,
 * in the packet itself, with the address that this host has towards the sender. What is known of it then lies in one
 * reused {@link IpOptions}, from which the packet is forwarded or fragmented (`options-forward.ts`; the recorded address
 * becomes that of the outgoing device), sent along its source route (`source-route.ts`), or answered
 * (`options-reply.ts`: routes and times are carried on, a source route is turned round). Options that are to be sent
 * are compiled too, then *built* into each header.
 *
 * Who mends the header checksum stands at each function; compiling never does.
 */
import type { Ipv4Address } from '../address/ipv4-address.ts'
import { IPV4_MAX_OPTIONS, IpOption } from '../wire/ipv4-options.ts'

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

/** Fills up with End of Option List to a multiple of 4. */
export function padOptions(data: Uint8Array, length: number): number {
  let padded = length
  while ((padded & 3) !== 0) data[padded++] = IpOption.END
  return padded
}
