/**
 * Stacks on wires, in virtual time, for tests that speak in raw packets: a host on a TUN and a router between two
 * links. When a test is over, every stack is closed and every packet must be back in its pool.
 */
import { expect } from 'chai'
import { MILLISECOND, Stack, type StackOptions, seededRandom, VirtualClock } from '../../lib/index.ts'
import { type Bytes, type Decoded, type Expected, echoRequest, expectPackets } from './packets.ts'
import { Wire } from './wire.ts'

/** The other end of the host's TUN, and its own address there. */
export const PEER = '10.9.0.1'
export const HOST = '10.9.0.2'
/** What the host has on lo besides 127.0.0.1. */
export const INNER = '10.0.3.1'

/** A sender and a receiver behind the router, one on each side; the router's own addresses. */
export const LEFT = '10.1.0.9'
export const RIGHT = '10.2.0.9'
export const ROUTER_LEFT = '10.1.0.1'
export const ROUTER_RIGHT = '10.2.0.1'

export class Bench {
  readonly clock = new VirtualClock()
  readonly stack: Stack

  constructor(options: StackOptions = {}) {
    this.stack = new Stack({ clock: this.clock, random: seededRandom(1), ...options })
  }

  /** Adds a wire to the stack, up and with an address. */
  wire(name: string, prefix: string, mtu = 1500): Wire {
    const wire = new Wire(name, mtu)
    this.stack.addDevice(wire).addAddress(prefix)
    return wire
  }

  /** Lets everything that waits for the event loop have its turn; no time passes. */
  settle(): void {
    this.clock.advance(0)
  }

  /** Lets milliseconds pass. */
  pass(milliseconds: number): void {
    this.clock.advance(milliseconds * MILLISECOND)
  }

  count(name: string): number {
    return this.stack.mib.get(name)
  }

  /** Pushes packets into a wire and takes what comes out of it. */
  exchange(wire: Wire, ...packets: Uint8Array[]): Bytes[] {
    wire.push(...packets)
    this.settle()
    return wire.take()
  }

  /** What comes out of a wire for what goes in, checked; see {@link expectPackets}. */
  expect(wire: Wire, packets: Uint8Array | Uint8Array[], expected: readonly Expected[]): Decoded[] {
    return expectPackets(this.exchange(wire, ...[packets].flat()), expected)
  }

  /** Closes the stack; no packet may be left anywhere. */
  async end(): Promise<void> {
    await this.stack.close()
    this.settle()
    expect(this.stack.pool.outstanding, 'packets that were never freed').to.equal(0)
  }
}

/** A host: tun0 10.9.0.2/24 with the default route by way of 10.9.0.1, lo 10.0.3.1/24. */
export class HostBench extends Bench {
  readonly tun: Wire

  constructor(options: StackOptions & { mtu?: number } = {}) {
    super(options)
    this.tun = this.wire('tun0', `${HOST}/24`, options.mtu ?? 1500)
    this.stack.loopback.addAddress(`${INNER}/24`)
    this.stack.routes.add(`default via ${PEER} dev tun0`)
  }

  /** The stack is alive and has its wits: it answers an echo request. */
  expectAlive(): void {
    expectAlive(this, this.tun, PEER, HOST)
  }
}

/** A router between `left` 10.1.0.1/24 and `right` 10.2.0.1/24. */
export class RouterBench extends Bench {
  readonly left: Wire
  readonly right: Wire

  constructor(options: StackOptions & { rightMtu?: number } = {}) {
    super(options)
    this.left = this.wire('left', `${ROUTER_LEFT}/24`)
    this.right = this.wire('right', `${ROUTER_RIGHT}/24`, options.rightMtu ?? 1500)
    this.stack.sysctlSet('net.ipv4.ip_forward', 1)
  }

  expectAlive(): void {
    expectAlive(this, this.left, LEFT, ROUTER_LEFT)
  }

  /** Sends into the left wire and gives what came out right and left. */
  forward(...packets: Uint8Array[]): { right: Bytes[]; left: Bytes[] } {
    this.left.push(...packets)
    this.settle()
    return { right: this.right.take(), left: this.left.take() }
  }
}

function expectAlive(bench: Bench, wire: Wire, from: string, to: string): void {
  wire.take()
  const request = echoRequest({ src: from, dst: to }, { identifier: 0xa11e, data: [1, 2, 3] })
  bench.expect(wire, request, [
    { src: to, dst: from, icmp: { type: 0, identifier: 0xa11e, data: [1, 2, 3] } },
  ])
}

/** For `describe`: a bench per test, closed and checked after it. */
export function useBench<B extends Bench>(make: () => B): () => B {
  let bench: B | null = null
  afterEach(async () => {
    const ended = bench
    bench = null
    await ended?.end()
  })
  return () => (bench ??= make())
}
