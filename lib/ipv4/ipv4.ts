/**
 * IPv4 as a whole: the parts of this folder, joined. A packet that a device received goes in by `input`; what
 * this host sends goes out by `output.sendLocal`; protocols above IP are registered in `protocols`.
 */
import type { NetDevice } from '../device/net-device.ts'
import type { Packet } from '../packet/packet.ts'
import type { Route } from '../route/route.ts'
import { Metric } from '../route/rtnetlink.ts'
import { DropReason } from '../wire/drop-reason.ts'
import { IcmpType, TimeExceededCode } from '../wire/icmpv4.ts'
import { IpProtocol } from '../wire/ipv4.ts'
import type { Ipv4Context, RawDelivery, TransportProtocol } from './context.ts'
import { LocalDelivery } from './deliver.ts'
import { EchoPrediction } from './echo-prediction.ts'
import { Forwarding } from './forward.ts'
import { Icmp } from './icmp.ts'
import { IcmpLimits } from './icmp-limits.ts'
import { Identification } from './identification.ts'
import { Igmp } from './igmp.ts'
import { Ipv4Input } from './input.ts'
import { OptionsProcessing } from './options-processing.ts'
import { Ipv4Output } from './output.ts'
import { Reassembly } from './reassembly.ts'
import { Redirects } from './redirects.ts'

export class Ipv4 {
  readonly ctx: Ipv4Context
  /** By protocol number. */
  readonly protocols: (TransportProtocol | null)[] = new Array<TransportProtocol | null>(256).fill(null)
  /** Raw sockets; `null` while there are none. */
  raw: RawDelivery | null = null
  readonly input: Ipv4Input
  readonly output: Ipv4Output
  readonly deliver: LocalDelivery
  readonly forward: Forwarding
  readonly icmp: Icmp
  readonly igmp: Igmp
  readonly echoes: EchoPrediction
  readonly identification: Identification
  readonly options: OptionsProcessing
  readonly redirects: Redirects
  /** Pace of ICMP messages. */
  readonly rateLimit: IcmpLimits
  readonly reassembly: Reassembly
  /** Puts a packet into a device's receive queue; set by the stack. */
  backlog: (packet: Packet, device: NetDevice) => void = (packet) => packet.free()
  /** Told when fragments wait, so that the stack arms its timer; set by the stack. */
  reassemblyPending: () => void = () => {}

  constructor(ctx: Ipv4Context) {
    this.ctx = ctx
    const { pool, hash, random, sysctl, mib } = ctx
    this.identification = new Identification(hash, random)
    this.rateLimit = new IcmpLimits(ctx)
    this.options = new OptionsProcessing(this)
    this.reassembly = new Reassembly({
      pool,
      hash,
      sysctl: sysctl.ipv4,
      mib,
      drop: (packet, reason, device) => ctx.drop(packet, reason, device as NetDevice | null),
      timedOut: (first) => this.#reassemblyTimedOut(first),
    })
    this.input = new Ipv4Input(this)
    this.output = new Ipv4Output(this)
    this.deliver = new LocalDelivery(this)
    this.forward = new Forwarding(this)
    this.redirects = new Redirects(this)
    this.echoes = new EchoPrediction(ctx, this.identification)
    this.icmp = new Icmp(this)
    this.protocols[IpProtocol.ICMP] = this.icmp
    this.igmp = new Igmp(this)
    this.protocols[IpProtocol.IGMP] = this.igmp
  }

  /** Hands a fragment in; gives the datagram once it is whole. */
  reassemble(fragment: Packet): Packet | null {
    const whole = this.reassembly.insert(fragment, this.ctx.now)
    if (this.reassembly.length > 0) this.reassemblyPending()
    return whole
  }

  /** What could wait until everything has left. */
  settle(): void {
    this.echoes.settle()
    this.identification.settle()
  }

  /** TTL of what this host sends: the route's `hoplimit`, else `ip_default_ttl`. */
  defaultTtl(route: Route): number {
    const metrics = route.info === null ? null : route.info.metrics
    const hoplimit = metrics === null ? 0 : metrics[Metric.HOPLIMIT]!
    return hoplimit !== 0 ? hoplimit : this.ctx.sysctl.ipv4.ip_default_ttl
  }

  /** RFC 1122 §3.3.2: the sender hears of it only if the first fragment came. */
  #reassemblyTimedOut(first: Packet): void {
    this.options.reassembled(first)
    this.icmp.sendError(first, IcmpType.TIME_EXCEEDED, TimeExceededCode.REASSEMBLY, 0)
    this.ctx.drop(first, DropReason.FRAG_REASM_TIMEOUT, first.device as NetDevice | null)
  }
}
