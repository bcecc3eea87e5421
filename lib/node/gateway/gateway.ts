/**
 * A gateway without root: whatever guests send out of a TUN device, a namespace or a stream of packets leaves by
 * ordinary sockets of this process, as with slirp. The stack takes every packet to be its own, whatever its destination,
 * ends the guest's connections, and the host begins others.
 */
import { formatIpv4, ipv4Mask, parseIpv4, parseIpv4Prefix } from '../../address/ipv4-address.ts'
import type { LinkDevice } from '../../device/link-device.ts'
import { fromPacketStream, type PacketDuplex } from '../../device/packet-stream.ts'
import { invalidArgument, TunstackError } from '../../errors.ts'
import { ip } from '../../iproute2/ip.ts'
import type { Capture, CaptureOptions } from '../../observe/capture.ts'
import type { Interface } from '../../stack/interface.ts'
import { Stack } from '../../stack/stack.ts'
import { type GatewayContext, type GatewayCounters, newCounters } from './context.ts'
import { type OpenForward, TcpForward, UdpForward } from './forwards.ts'
import { type GatewayOptions, type GatewaySettings, settingsOf } from './options.ts'
import { PingOutbound } from './ping.ts'
import { Policy } from './policy.ts'
import { Resolver } from './resolver.ts'
import { SpliceContext } from './splice.ts'
import { TcpOutbound } from './tcp.ts'
import { UdpOutbound } from './udp.ts'

/** The table that delivers everything to the gateway, and the rule for what comes from guests. */
const TABLE = '7011'

export class Gateway {
  /** The stack that ends the guest's connections. */
  readonly stack: Stack
  /** The gateway's own address in the guest's network. */
  readonly address: string
  readonly counters: Readonly<GatewayCounters>
  readonly #ownsStack: boolean
  readonly #parts: Part[] = []
  readonly #forwards: (TcpForward | UdpForward)[] = []
  readonly #undo: (() => void)[] = []
  readonly #nic: Interface
  #closing: Promise<void> | null = null

  /** @internal use {@link gateway} */
  constructor(
    stack: Stack,
    nic: Interface,
    ownsStack: boolean,
    settings: GatewaySettings,
    options: GatewayOptions,
  ) {
    this.stack = stack
    this.#nic = nic
    this.#ownsStack = ownsStack
    this.address = formatIpv4(settings.prefix.address)
    const report = (error: unknown): void => options.onError?.(error)
    const counters = newCounters()
    this.counters = counters
    try {
      this.#route(settings)
      const context: GatewayContext = {
        stack,
        address: this.address,
        settings,
        policy: new Policy(settings, report),
        counters,
        report,
        inUse: (what) => new TunstackError('EADDRINUSE', `somebody else has ${what} of this stack`),
      }
      const splices = new SpliceContext(stack.tcpProtocol, counters)
      this.#add(new TcpOutbound(context, splices))
      this.#add(new UdpOutbound(context))
      if (settings.ping) this.#add(new PingOutbound(context))
      if (settings.dns !== null) context.policy.names = this.#add(new Resolver(context))
      for (const forward of settings.forwards) {
        this.#forwards.push(
          this.#add(
            forward.protocol === 'tcp'
              ? new TcpForward(context, splices, forward)
              : new UdpForward(context, forward),
          ),
        )
      }
    } catch (error) {
      this.#end()
      throw error
    }
  }

  /** Ports of the host that lead to guests: the ones that were free, where 0 was asked for. */
  get forwards(): readonly Readonly<OpenForward>[] {
    return this.#forwards.map(({ forward }) => forward)
  }

  /** @internal the host listens @throws Error of Node */
  async open(): Promise<this> {
    try {
      for (const forward of this.#forwards) await forward.open()
      return this
    } catch (error) {
      this.#end()
      throw error
    }
  }

  /** What passes between guests and the gateway: as `stack.capture()` of its device. */
  capture(options: Omit<CaptureOptions, 'device'>): Capture {
    return this.stack.capture({ ...options, device: this.#nic.name })
  }

  /** Ends every connection, and the stack if it was made for this. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #close(): Promise<void> {
    this.#end()
    if (this.#ownsStack) await this.stack.close()
  }

  #add<T extends Part>(part: T): T {
    this.#parts.push(part)
    return part
  }

  #end(): void {
    for (const part of this.#parts.splice(0).reverse()) part.close()
    for (const undo of this.#undo.splice(0).reverse()) undo()
  }

  /** What guests send is for this host, whatever its destination; what this host sends is for guests. */
  #route({ prefix }: GatewaySettings): void {
    const { name, addresses } = this.#nic
    if (!addresses.some((one) => parseIpv4Prefix(one).address === prefix.address)) {
      const address = `${formatIpv4(prefix.address)}/${prefix.length}`
      this.#nic.addAddress(address)
      this.#undo.push(() => ip(this.stack, ['address', 'del', address, 'dev', name]))
    }
    this.#configure('rule', 'iif', name, 'lookup', TABLE, 'pref', TABLE)
    this.#configure('route', 'local', 'default', 'dev', 'lo', 'table', TABLE)
    if (ip(this.stack, 'route show default').stdout === '') this.#configure('route', 'default', 'dev', name)
  }

  /** Adds a route or a rule, until the gateway is closed. */
  #configure(what: 'route' | 'rule', ...words: string[]): void {
    this.#ip([what, 'add', ...words])
    // A device, or the stack, may have gone before, and that with it.
    this.#undo.push(() => ip(this.stack, [what, 'del', ...words]))
  }

  #ip(command: readonly string[]): void {
    const { status, stderr } = ip(this.stack, command)
    if (status === 0) return
    if (stderr.includes('File exists'))
      throw new TunstackError('EADDRINUSE', 'this stack has a gateway already')
    throw new TunstackError('EINVAL', `'ip ${command.join(' ')}' in the gateway's stack: ${stderr.trim()}`)
  }
}

interface Part {
  close(): void
}

/**
 * Makes a gateway of a device that guests are behind (a TUN, a pipe, any `LinkDevice`), of a stream of IPv4 packets, or
 * of a stack that has such a device. A device or stream is the gateway's from then on, a stack stays the program's.
 * @throws TunstackError `ERR_INVALID_ARG_VALUE`; `EADDRINUSE` if the stack has a gateway already, or somebody else who
 * listens for all connections; `ENODEV`; what the host says of a forwarded port (`EADDRINUSE`, `EACCES`)
 */
export async function gateway(
  target: Stack | LinkDevice | PacketDuplex,
  options: GatewayOptions = {},
): Promise<Gateway> {
  const settings = settingsOf(options)
  checkGuest(settings)
  const ownsStack = !(target instanceof Stack)
  const stack = ownsStack ? new Stack() : target
  try {
    const nic = ownsStack
      ? stack.addDevice(deviceOf(target, options.mtu))
      : interfaceOf(stack, options.device)
    return await new Gateway(stack, nic, ownsStack, settings, options).open()
  } catch (error) {
    if (ownsStack) await stack.close()
    throw error
  }
}

function deviceOf(target: LinkDevice | PacketDuplex, mtu: number | undefined): LinkDevice {
  if (typeof (target as LinkDevice)?.transmit === 'function') return target as LinkDevice
  return fromPacketStream(target as PacketDuplex, mtu === undefined ? {} : { mtu })
}

function interfaceOf(stack: Stack, name: string | undefined): Interface {
  if (name !== undefined) return stack.interface(name)
  const others = stack.interfaces.filter((each) => each !== stack.loopback)
  if (others.length === 1) return others[0]!
  throw invalidArgument(
    'device',
    name,
    `the name of the device that guests are behind: the stack has ${others.length}`,
  )
}

function checkGuest({ guest, prefix }: GatewaySettings): void {
  const address = parseIpv4(guest)
  if (address === prefix.address || ((address ^ prefix.address) & ipv4Mask(prefix.length)) !== 0) {
    throw invalidArgument('guest', guest, "another address of the gateway's network")
  }
}
