/**
 * Which ICMP messages the rate limits hold for: those whose type is in `icmp_ratemask`, but never Fragmentation
 * Needed, without which path MTU discovery fails, and nothing that goes round the loopback device.
 */
import type { Ipv4Address } from '../address/ipv4-address.ts'
import { IcmpMib } from '../observe/mib.ts'
import type { Route } from '../route/route.ts'
import { MILLISECOND } from '../time/clock.ts'
import { IcmpType, LAST_ICMP_TYPE, UnreachableCode } from '../wire/icmpv4.ts'
import type { Ipv4Context } from './context.ts'
import { IcmpRateLimit } from './token-bucket.ts'

export class IcmpLimits {
  readonly #ctx: Ipv4Context
  #bucket: IcmpRateLimit | null = null

  constructor(ctx: Ipv4Context) {
    this.#ctx = ctx
  }

  /** May a message of this type go, as far as all destinations together are concerned? Takes nothing yet. */
  allowGlobal(type: number, code: number): boolean {
    if (this.#exempt(type, code)) return true
    if (this.#limit().allowGlobal(this.#ctx.now)) return true
    this.#ctx.mib.icmp[IcmpMib.OutRateLimitGlobal]!++
    return false
  }

  /** May it go to this destination? If so it counts against both limits. */
  allowDestination(destination: Ipv4Address, route: Route, type: number, code: number): boolean {
    if (this.#exempt(type, code)) return true
    if (route.device.isLoopback) return true
    if (!this.#limit().allowDestination(destination, this.#ctx.now)) {
      this.#ctx.mib.icmp[IcmpMib.OutRateLimitHost]!++
      return false
    }
    this.#limit().consumeGlobal()
    return true
  }

  /**
   * May a router tell this sender that it has no route (`ip_error`: `error_cost` and `error_burst` of
   * `net.ipv4.route`)? The message then has to pass the limits of all messages too, out of the same credit.
   */
  allowUnreachable(sender: Ipv4Address): boolean {
    const { error_cost, error_burst } = this.#ctx.sysctl.route
    return this.#limit().take(sender, this.#ctx.now, error_cost * MILLISECOND, error_burst * MILLISECOND)
  }

  #exempt(type: number, code: number): boolean {
    if (type > LAST_ICMP_TYPE) return true
    if (type === IcmpType.DEST_UNREACH && code === UnreachableCode.FRAG_NEEDED) return true
    return (this.#ctx.sysctl.ipv4.icmp_ratemask & (1 << type)) === 0
  }

  /** Made when first needed: most stacks never send an error. */
  #limit(): IcmpRateLimit {
    const { sysctl, hash, random } = this.#ctx
    return (this.#bucket ??= new IcmpRateLimit({ sysctl: sysctl.ipv4, hash, random }))
  }
}
