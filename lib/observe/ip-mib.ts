/**
 * The names, places and meanings of the counters of IP, ICMP and UDP, in the order of /proc/net/snmp and
 * /proc/net/netstat of Linux 6.18 (MIB objects of RFC 4293, 5097 and 4113, and Linux's own). What is not a
 * counter (`Forwarding`, `DefaultTTL`) or is added up from others (ICMP by type) has no place in a table.
 */

/** `Ip`, without `Forwarding` and `DefaultTTL`. */
export const IpMib = {
  /** Datagrams handed up by devices, those in error included. */
  InReceives: 0,
  /** Malformed header, bad header checksum, or TTL spent in forwarding. */
  InHdrErrors: 1,
  /** The destination address is no place to deliver or forward to. */
  InAddrErrors: 2,
  /** Sent on to another host. Counted once the next hop is known. */
  ForwDatagrams: 3,
  /** No protocol here for the protocol number. */
  InUnknownProtos: 4,
  /** Nothing wrong with it, but no memory or room. */
  InDiscards: 5,
  /** Handed to a protocol above IP; reassembled datagrams count once. */
  InDelivers: 6,
  /** Datagrams that protocols of this host asked to send; forwarded ones are not among them. */
  OutRequests: 7,
  /** Nothing wrong with it, but it could not be sent. */
  OutDiscards: 8,
  /** No route for a datagram of this host. */
  OutNoRoutes: 9,
  /** Reassemblies given up because time ran out. */
  ReasmTimeout: 10,
  /** Fragments received that had to be reassembled. */
  ReasmReqds: 11,
  /** Datagrams put together. */
  ReasmOKs: 12,
  /** Reassemblies that failed, for whatever reason. */
  ReasmFails: 13,
  /** Datagrams that were cut up. */
  FragOKs: 14,
  /** Datagrams that needed cutting up and could not be (DF set). */
  FragFails: 15,
  /** Fragments made. */
  FragCreates: 16,
  /** Datagrams handed to a device, forwarded ones and each fragment included. */
  OutTransmits: 17,
} as const

/**
 * `Icmp`, but for the counts by type (`InEchos`, `OutDestUnreachs`, …): those are read from the two tables by
 * type, as in the kernel, so that a message is counted in one place.
 */
export const IcmpMib = {
  /** Messages received, those in error included. */
  InMsgs: 0,
  /** Too short, bad checksum, unknown type, or not understood. */
  InErrors: 1,
  /** Bad checksum; counts as an error too. */
  InCsumErrors: 2,
  /** Messages that ICMP tried to send. */
  OutMsgs: 3,
  /** Could not be sent: no memory, no route. */
  OutErrors: 4,
  /** Not sent: over `icmp_msgs_per_sec` for the whole host. */
  OutRateLimitGlobal: 5,
  /** Not sent: over `icmp_ratelimit` for the destination. */
  OutRateLimitHost: 6,
} as const

/** `Udp` and `UdpLite`. */
export const UdpMib = {
  /** Datagrams delivered to a socket. */
  InDatagrams: 0,
  /** No socket on the destination port. */
  NoPorts: 1,
  /** Not delivered for another reason: length, checksum, full receive buffer. */
  InErrors: 2,
  /** Datagrams sent. */
  OutDatagrams: 3,
  /** The receive buffer of the socket was full; counts as an error too. */
  RcvbufErrors: 4,
  /** The send buffer was full. */
  SndbufErrors: 5,
  /** Bad checksum; counts as an error too. */
  InCsumErrors: 6,
  /** Broadcasts and multicasts that no socket wanted. */
  IgnoredMulti: 7,
  /** The protocol as a whole was over its memory limit; counts as an error too. */
  MemErrors: 8,
} as const

/** `IpExt`: what Linux counts beyond the RFC. Octets are those of whole IP datagrams, header included. */
export const IpExtMib = {
  /** No route for a datagram to forward. */
  InNoRoutes: 0,
  /** Shorter than the header's total length says. */
  InTruncatedPkts: 1,
  /** Received for a multicast destination. */
  InMcastPkts: 2,
  /** Sent to a multicast destination. */
  OutMcastPkts: 3,
  /** Received for a broadcast destination. */
  InBcastPkts: 4,
  /** Sent to a broadcast destination. */
  OutBcastPkts: 5,
  /** Received in all, those in error included. */
  InOctets: 6,
  /** Sent in all. */
  OutOctets: 7,
  /** Received for a multicast destination. */
  InMcastOctets: 8,
  /** Sent to a multicast destination. */
  OutMcastOctets: 9,
  /** Received for a broadcast destination. */
  InBcastOctets: 10,
  /** Sent to a broadcast destination. */
  OutBcastOctets: 11,
  /** Bad header checksum. */
  InCsumErrors: 12,
  /** Received segments by the two ECN bits (RFC 3168 §5): not ECN-capable, */
  InNoECTPkts: 13,
  /** ECT(1), */
  InECT1Pkts: 14,
  /** ECT(0), */
  InECT0Pkts: 15,
  /** and congestion experienced. */
  InCEPkts: 16,
  /** Fragments that overlapped others: their datagram was dropped. */
  ReasmOverlaps: 17,
} as const

/** The ECN counters by the two bits of the codepoint (RFC 3168 §5). */
export const ECN_COUNTER = [
  IpExtMib.InNoECTPkts,
  IpExtMib.InECT1Pkts,
  IpExtMib.InECT0Pkts,
  IpExtMib.InCEPkts,
] as const
