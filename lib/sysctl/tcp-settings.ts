/**
 * The settings of TCP, `net.ipv4.tcp_*`, under their Linux names, with the values that a fresh network namespace has;
 * what the kernel makes of the machine's memory is what it has on one of 16 GiB. The units are Linux's, too.
 */
import type { SettingRange } from './setting-range.ts'

/** Congestion control algorithms that there are; `reno` is NewReno. */
export const CONGESTION_CONTROLS = ['reno', 'cubic', 'bbr'] as const
export type CongestionControlName = (typeof CONGESTION_CONTROLS)[number]

export class TcpSettings {
  /** Answer with RST when the accept queue is full. */
  tcp_abort_on_overflow = 0
  /** Small writes wait for others while what went before has not left the host. */
  tcp_autocorking = 1
  /** Where a search for the path MTU begins. */
  tcp_base_mss = 1024
  /** Challenge ACKs a second of the whole host; 2147483647: no limit. */
  tcp_challenge_ack_limit = 2147483647
  tcp_congestion_control: CongestionControlName = 'cubic'
  tcp_dsack = 1
  /** 3 and 4: the tail of a flight is probed. */
  tcp_early_retrans = 3
  /** 0 never; 1 ask and answer; 2 answer. */
  tcp_ecn = 2
  /** A SYN that is sent again does not ask. */
  tcp_ecn_fallback = 1
  /** Seconds in FIN-WAIT-2 without an owner. */
  tcp_fin_timeout = 60
  /** 0: a timeout is never taken for spurious. */
  tcp_frto = 2
  /** Milliseconds between two answers to segments that are not acceptable. */
  tcp_invalid_ratelimit = 500
  /** Seconds. */
  tcp_keepalive_intvl = 75
  tcp_keepalive_probes = 9
  tcp_keepalive_time = 7200
  /** Connections without an owner at most; more are reset when they are closed. */
  tcp_max_orphans = 131072
  /** Segments that `tcp_reordering` may grow to. */
  tcp_max_reordering = 300
  /** Half-open connections of one listener at most. */
  tcp_max_syn_backlog = 2048
  /** Connections in TIME-WAIT at most. */
  tcp_max_tw_buckets = 131072
  /** Pages of 4 KiB in buffers of all connections: below there is no pressure, above there is, and no more than that. */
  tcp_mem_low = 196608
  tcp_mem_pressure = 262144
  tcp_mem_high = 393216
  /** Seconds that a minimum of the RTT counts. */
  tcp_min_rtt_wlen = 300
  /** Data of a segment and options at least, whatever a peer or a path ask for. */
  tcp_min_snd_mss = 48
  /** Let receive buffers grow with what is read. */
  tcp_moderate_rcvbuf = 1
  /** Data of a segment at least while a black hole is suspected. */
  tcp_mtu_probe_floor = 48
  /** 0 never probe for the path MTU; 1 when it seems to be a black hole; 2 always. */
  tcp_mtu_probing = 0
  /** Segments of a super-segment, if there are so many, however slow the path. */
  tcp_min_tso_segs = 2
  /** What a connection has learnt is forgotten with it. */
  tcp_no_metrics_save = 0
  /** The threshold of slow start is. */
  tcp_no_ssthresh_metrics_save = 1
  /** Retransmissions once nobody owns the connection any longer; 0: 8. */
  tcp_orphan_retries = 0
  /** Seconds after which a search for the path MTU begins again. */
  tcp_probe_interval = 600
  /** Bytes of range at which it ends. */
  tcp_probe_threshold = 8
  /** Duplicate acknowledgments that mean loss. */
  /** 1 RACK; 2: its window is not adapted; 4: three duplicates do not close it. */
  tcp_recovery = 1
  tcp_reordering = 3
  /** Retransmissions until the route is doubted (R1), and until the connection is given up (R2). */
  tcp_retries1 = 3
  tcp_retries2 = 15
  /** Ignore RST in TIME-WAIT. */
  tcp_rfc1337 = 0
  /** Bytes: smallest, initial and largest receive buffer. */
  tcp_rmem_min = 4096
  tcp_rmem_default = 131072
  tcp_rmem_max = 33554432
  /** Milliseconds. */
  tcp_rto_max_ms = 120000
  /** Microseconds. */
  tcp_rto_min_us = 200000
  tcp_sack = 1
  tcp_slow_start_after_idle = 1
  /** Retransmissions of a SYN before the timeout begins to double. */
  tcp_syn_linear_timeouts = 4
  tcp_syn_retries = 6
  tcp_synack_retries = 5
  /** 0 never; 1 when a listener has no room for another handshake; 2 always. */
  tcp_syncookies = 1
  /** 1 with a random offset per connection, 2 without. */
  tcp_timestamps = 1
  /** Halvings of a super-segment's largest size: the least RTT by 2 to the power of so many microseconds. */
  tcp_tso_rtt_log = 9
  /** Connect from a four-tuple in TIME-WAIT: 0 never, 1 if timestamps allow, 2 then and over loopback only. */
  tcp_tw_reuse = 2
  /** Milliseconds in TIME-WAIT before that. */
  tcp_tw_reuse_delay = 1000
  tcp_window_scaling = 1
  /** Offer no more than 32767 bytes in a SYN, to peers that take the window for a signed number. */
  tcp_workaround_signed_windows = 0
  /** Bytes: smallest, initial and largest send buffer. */
  tcp_wmem_min = 4096
  tcp_wmem_default = 16384
  tcp_wmem_max = 4194304
}

const INT: SettingRange = { min: -2147483648, max: 2147483647 }
const NATURAL: SettingRange = { min: 0, max: 2147483647 }
const POSITIVE: SettingRange = { min: 1, max: 2147483647 }
const BYTE: SettingRange = { min: 0, max: 255 }
/** Kept in clock ticks of 4 ms by Linux, which is where the bound comes from. */
const SECONDS: SettingRange = { min: -8589934, max: 8589934 }

/** Settings that are one number each. The three of a buffer are written together. */
export const TCP_RANGES: { readonly [K in keyof TcpSettings]?: SettingRange } = {
  tcp_abort_on_overflow: BYTE,
  tcp_autocorking: { min: 0, max: 1 },
  tcp_base_mss: INT,
  tcp_challenge_ack_limit: INT,
  tcp_dsack: BYTE,
  tcp_early_retrans: { min: 0, max: 4 },
  tcp_ecn: { min: 0, max: 2 },
  tcp_ecn_fallback: { min: 0, max: 1 },
  tcp_fin_timeout: SECONDS,
  tcp_frto: BYTE,
  tcp_invalid_ratelimit: NATURAL,
  tcp_keepalive_intvl: SECONDS,
  tcp_keepalive_probes: BYTE,
  tcp_keepalive_time: SECONDS,
  tcp_max_orphans: INT,
  tcp_max_reordering: POSITIVE,
  tcp_max_syn_backlog: INT,
  tcp_max_tw_buckets: INT,
  tcp_min_rtt_wlen: { min: 0, max: 86400 },
  tcp_min_snd_mss: { min: 48, max: 65535 },
  tcp_moderate_rcvbuf: BYTE,
  tcp_mtu_probe_floor: { min: 48, max: 65535 },
  tcp_mtu_probing: BYTE,
  tcp_min_tso_segs: { min: 1, max: 255 },
  tcp_no_metrics_save: BYTE,
  tcp_no_ssthresh_metrics_save: { min: 0, max: 1 },
  tcp_orphan_retries: BYTE,
  // Milliseconds of 32 bits, in ticks of 4 ms.
  tcp_probe_interval: { min: 0, max: 17179869 },
  tcp_probe_threshold: INT,
  tcp_recovery: BYTE,
  // And no larger than tcp_max_reordering.
  tcp_reordering: POSITIVE,
  tcp_retries1: BYTE,
  tcp_retries2: BYTE,
  tcp_rfc1337: BYTE,
  tcp_rto_max_ms: { min: 1000, max: 120000 },
  tcp_rto_min_us: POSITIVE,
  tcp_sack: BYTE,
  tcp_slow_start_after_idle: BYTE,
  tcp_syn_linear_timeouts: { min: 0, max: 127 },
  tcp_syn_retries: { min: 1, max: 127 },
  tcp_synack_retries: BYTE,
  tcp_syncookies: BYTE,
  tcp_timestamps: BYTE,
  tcp_tso_rtt_log: BYTE,
  tcp_tw_reuse: { min: 0, max: 2 },
  tcp_tw_reuse_delay: { min: 1, max: 60000 },
  tcp_window_scaling: BYTE,
  tcp_workaround_signed_windows: BYTE,
}
