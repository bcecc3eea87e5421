/**
 * Why a packet died. The names are the kernel's `SKB_DROP_REASON_*` (without that prefix), so that what
 * `perf trace -e skb:kfree_skb` says of Linux and what this stack counts can be laid side by side. The
 * numbers are our own: they index counters. Every packet that is dropped anywhere is dropped under one of these.
 */
export const DropReason = {
  /** Not dropped. */
  NONE: 0,
  /** It served its purpose: not a drop (`SKB_CONSUMED`). */
  CONSUMED: 1,
  NOT_SPECIFIED: 2,
  /** No endpoint wants it. */
  NO_SOCKET: 3,
  /** The endpoint's receive buffer is full. */
  SOCKET_RCVBUFF: 4,
  /** Shorter than the header it claims to have. */
  PKT_TOO_SMALL: 5,
  TCP_CSUM: 6,
  UDP_CSUM: 7,
  /** Link-layer destination is another host. */
  OTHERHOST: 8,
  IP_CSUM: 9,
  /** The IPv4 header is malformed. */
  IP_INHDR: 10,
  /** `rp_filter`: the route back to the source leaves by another device. */
  IP_RPFILTER: 11,
  UNICAST_IN_L2_MULTICAST: 12,
  /** No protocol above IP for this number. */
  IP_NOPROTO: 13,
  /** No route on output. */
  IP_OUTNOROUTES: 14,
  /** A queue of a device is full. */
  QDISC_DROP: 15,
  /** The loopback device's receive queue is full. */
  CPU_BACKLOG: 16,
  /** Not IPv4 (nor, later, IPv6). */
  UNHANDLED_PROTO: 17,
  DEV_HDR: 18,
  /** The device is down or gone. */
  DEV_READY: 19,
  /** The device's own queue is full. */
  FULL_RING: 20,
  NOMEM: 21,
  HDR_TRUNC: 22,
  ICMP_CSUM: 23,
  INVALID_PROTO: 24,
  /** A martian, or a destination that is not for us and may not be forwarded. */
  IP_INADDRERRORS: 25,
  /** No route for a packet to forward. */
  IP_INNOROUTES: 26,
  /** The source is an address of this host. */
  IP_LOCAL_SOURCE: 27,
  IP_INVALID_SOURCE: 28,
  /** 127.0.0.0/8 from or to the wire. */
  IP_LOCALNET: 29,
  IP_INVALID_DEST: 30,
  /** Larger than the path's MTU and must not be fragmented. */
  PKT_TOO_BIG: 31,
  /** A fragment that was already there. */
  DUP_FRAG: 32,
  FRAG_REASM_TIMEOUT: 33,
  /** A fragment so far behind that its datagram is given up (`ipfrag_max_dist`). */
  FRAG_TOO_FAR: 34,
  /** What waited in a queue that was emptied. */
  QUEUE_PURGE: 35,
  /** Segmentation of a super-segment failed. */
  SKB_GSO_SEG: 36,
  /** A checksum had to be computed and could not be. */
  SKB_CSUM: 37,
  NEIGH_FAILED: 38,
  /** Overlapping fragments: the whole datagram goes (RFC 5722 §4). Not a name of the kernel's. */
  FRAG_OVERLAP: 39,
  /** The fragment cache is over its limit. Not a name of the kernel's. */
  FRAG_MEM: 40,
  /** TTL ran out in forwarding. Not a name of the kernel's. */
  IP_TTL: 41,
  /** A device refused it (`write()` failed). Not a name of the kernel's. */
  DEV_TX_ERROR: 42,
  /** What a test or an impaired link took away on purpose. Not a name of the kernel's. */
  IMPAIRED: 43,
  /** Flags that make no sense in the connection's state. */
  TCP_FLAGS: 44,
  TCP_ZEROWINDOW: 45,
  TCP_OLD_DATA: 46,
  TCP_OVERWINDOW: 47,
  /** Out of order, and there already. */
  TCP_OFOMERGE: 48,
  /** Out of order, and there is no room for more. */
  TCP_OFO_DROP: 49,
  TCP_RFC7323_PAWS: 50,
  TCP_INVALID_SEQUENCE: 51,
  TCP_INVALID_ACK_SEQUENCE: 52,
  TCP_RESET: 53,
  TCP_INVALID_SYN: 54,
  TCP_CLOSE: 55,
  TCP_OLD_ACK: 56,
  TCP_TOO_OLD_ACK: 57,
  TCP_ACK_UNSENT_DATA: 58,
  /** Data for an endpoint whose application has closed it. */
  TCP_ABORT_ON_DATA: 59,
  /** A protocol's memory is used up. */
  PROTO_MEM: 60,
  /** A listener's queues are full. */
  TCP_LISTEN_OVERFLOW: 61,
  /** Before what was acknowledged. */
  TCP_OLD_SEQUENCE: 62,
  /** It begins within the window, ends beyond it, and other data waits to be read. */
  TCP_INVALID_END_SEQUENCE: 63,
} as const

export type DropReason = (typeof DropReason)[keyof typeof DropReason]

/** How many reasons there are: the length of a table of counters. */
export const DROP_REASONS = 64

const names = new Array<string>(DROP_REASONS).fill('NOT_SPECIFIED')
for (const [name, reason] of Object.entries(DropReason)) names[reason] = name

/** `dropReasonName(DropReason.IP_CSUM)` is `'IP_CSUM'`. */
export function dropReasonName(reason: number): string {
  return names[reason] ?? 'NOT_SPECIFIED'
}
