/**
 * The question that is put to routing (Linux's `struct flowi4`): where does a packet with these properties go?
 * One object is reused for question after question; a lookup fills in what it decided on the way.
 */
import type { Ipv4Address } from '../address/ipv4-address.ts'

/** Fields are numbers only; `reset()` before each question. */
export class Flow4 {
  daddr: Ipv4Address = 0
  /** 0 asks for a source; an output lookup fills it in. */
  saddr: Ipv4Address = 0
  /** Index of the device that the packet must leave by; 0 for any. */
  oif = 0
  /** Index of the device that it came in by. Output lookups ask with that of the loopback device, as Linux does. */
  iif = 0
  mark = 0
  /** DSCP bits of the TOS octet (0xfc): ECN never takes part. */
  tos = 0
  protocol = 0
  /** Ports, or ICMP type and code: rules and layer-4 multipath look at them. */
  sport = 0
  dport = 0
  uid = 0
  /** Only routes of at least this scope count. */
  scope = 0
  /** `FLOWI_FLAG_ANYSRC`: the source needn't be an address of this host (`IP_TRANSPARENT`, raw sockets). */
  anySource = false

  reset(): this {
    this.daddr = 0
    this.saddr = 0
    this.oif = 0
    this.iif = 0
    this.mark = 0
    this.tos = 0
    this.protocol = 0
    this.sport = 0
    this.dport = 0
    this.uid = 0
    this.scope = 0
    this.anySource = false
    return this
  }
}
