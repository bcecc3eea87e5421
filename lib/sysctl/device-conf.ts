/**
 * The per-device half of `net.ipv4`: what `/proc/sys/net/ipv4/conf/DEV/` holds. A device's own value is seldom
 * the one that counts: Linux combines it with that of `conf/all` by AND, OR or MAX, differently for each name.
 * The plain fields are what was written; the getters in camel case are what is in force.
 */

export class DeviceConf {
  accept_local = 0
  accept_redirects = 1
  accept_source_route = 1
  bc_forwarding = 0
  bootp_relay = 0
  forwarding = 0
  ignore_routes_with_linkdown = 0
  log_martians = 0
  mc_forwarding = 0
  promote_secondaries = 0
  route_localnet = 0
  rp_filter = 0
  secure_redirects = 1
  send_redirects = 1
  shared_media = 1
  src_valid_mark = 0
  tag = 0

  /**
   * Names that were written for this device, or all of them once it was given an address: from then on a
   * change of `conf/default` leaves it alone (`ipv4_devconf.state`).
   */
  readonly settled: Set<DeviceConfName> = new Set()
  readonly #all: DeviceConf

  /** @param all `conf/all`; for `conf/all` itself `null` */
  constructor(all: DeviceConf | null) {
    this.#all = all ?? this
  }

  /** Packets are forwarded that come in by this device. The device's own value alone counts. */
  get forwardingEnabled(): boolean {
    return this.forwarding !== 0
  }

  /** 0 none, 1 strict, 2 loose (RFC 3704 §2.2, §2.4): the larger of the two. */
  get rpFilter(): number {
    return Math.max(this.#all.rp_filter, this.rp_filter)
  }

  /** Packets with a source address of this host are accepted. */
  get acceptLocal(): boolean {
    return (this.#all.accept_local | this.accept_local) !== 0
  }

  /** 127.0.0.0/8 is routed like other prefixes. */
  get routeLocalnet(): boolean {
    return (this.#all.route_localnet | this.route_localnet) !== 0
  }

  /** ICMP redirects are heeded: a router wants both to say so, a host either. */
  get acceptRedirects(): boolean {
    return this.forwarding !== 0
      ? this.#all.accept_redirects !== 0 && this.accept_redirects !== 0
      : (this.#all.accept_redirects | this.accept_redirects) !== 0
  }

  /** Redirects only to a gateway that some route names already. */
  get secureRedirects(): boolean {
    return (this.#all.secure_redirects | this.secure_redirects) !== 0
  }

  get sendRedirects(): boolean {
    return (this.#all.send_redirects | this.send_redirects) !== 0
  }

  /** Different subnets may share the medium, so a redirect to another subnet is fine. */
  get sharedMedia(): boolean {
    return (this.#all.shared_media | this.shared_media) !== 0
  }

  get logMartians(): boolean {
    return (this.#all.log_martians | this.log_martians) !== 0
  }

  /** Packets with a source route option are taken (RFC 791 §3.1). */
  get acceptSourceRoute(): boolean {
    return this.#all.accept_source_route !== 0 && this.accept_source_route !== 0
  }

  /** Packets from 0.0.0.0/8 that are not for this host are kept, for a BOOTP relay. */
  get bootpRelay(): boolean {
    return this.#all.bootp_relay !== 0 && this.bootp_relay !== 0
  }

  /** Directed broadcasts are forwarded (RFC 2644). */
  get bcForwarding(): boolean {
    return this.#all.bc_forwarding !== 0 && this.bc_forwarding !== 0
  }

  /** When a primary address goes, the first of its secondaries takes its place. */
  get promoteSecondaries(): boolean {
    return (this.#all.promote_secondaries | this.promote_secondaries) !== 0
  }

  /** Next hops over a device without carrier count as dead. */
  get ignoreRoutesWithLinkdown(): boolean {
    return (this.#all.ignore_routes_with_linkdown | this.ignore_routes_with_linkdown) !== 0
  }

  /** The reverse path lookup asks with the packet's mark. */
  get srcValidMark(): boolean {
    return (this.#all.src_valid_mark | this.src_valid_mark) !== 0
  }
}

/** Names under `net.ipv4.conf.DEV`, in the order in which `sysctl -a` lists them. */
export const DEVICE_CONF_NAMES = [
  'accept_local',
  'accept_redirects',
  'accept_source_route',
  'bc_forwarding',
  'bootp_relay',
  'forwarding',
  'ignore_routes_with_linkdown',
  'log_martians',
  'mc_forwarding',
  'promote_secondaries',
  'route_localnet',
  'rp_filter',
  'secure_redirects',
  'send_redirects',
  'shared_media',
  'src_valid_mark',
  'tag',
] as const

export type DeviceConfName = (typeof DEVICE_CONF_NAMES)[number]
