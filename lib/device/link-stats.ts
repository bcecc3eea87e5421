/**
 * What a device counts: the fields of Linux's `rtnl_link_stats64`, as `ip -s link` shows them. Kept as doubles
 * in one typed array, so that counting allocates nothing.
 */

export const LinkStat = {
  rxPackets: 0,
  txPackets: 1,
  rxBytes: 2,
  txBytes: 3,
  rxErrors: 4,
  txErrors: 5,
  rxDropped: 6,
  txDropped: 7,
  multicast: 8,
  collisions: 9,
  rxLengthErrors: 10,
  rxOverErrors: 11,
  rxCrcErrors: 12,
  rxFrameErrors: 13,
  rxFifoErrors: 14,
  rxMissedErrors: 15,
  txAbortedErrors: 16,
  txCarrierErrors: 17,
  txFifoErrors: 18,
  txHeartbeatErrors: 19,
  txWindowErrors: 20,
} as const

export type LinkStatName = keyof typeof LinkStat

export class LinkStats {
  readonly values: Float64Array = new Float64Array(Object.keys(LinkStat).length)

  received(packets: number, bytes: number): void {
    this.values[LinkStat.rxPackets]! += packets
    this.values[LinkStat.rxBytes]! += bytes
  }

  sent(packets: number, bytes: number): void {
    this.values[LinkStat.txPackets]! += packets
    this.values[LinkStat.txBytes]! += bytes
  }

  increment(stat: number, by = 1): void {
    this.values[stat]! += by
  }

  get(name: LinkStatName): number {
    return this.values[LinkStat[name]]!
  }

  /** All of them by name. */
  snapshot(): Record<LinkStatName, number> {
    const names = Object.keys(LinkStat) as LinkStatName[]
    return Object.fromEntries(names.map((name) => [name, this.get(name)])) as Record<LinkStatName, number>
  }
}
