/**
 * One host that pings twice: a stack behind a TUN, and a kernel behind a veth pair that is named and addressed
 * alike. What ping prints must be the same but for times. The stack's answers are thereby the kernel's.
 */
import { type Namespace, type PingSummary, parsePing, type Testbed } from '../netns.ts'
import { StackProcess } from './stack-process.ts'
import { masked } from './tool-output.ts'

const KERNEL = '10.9.0.1/24'
const STACK = '10.9.0.2/24'
/** Every address of the prefix answers: it is the loopback's. */
const LO = '10.0.3.110/24'

export interface PingPair {
  /** What ping printed and how it ended, by either; times masked. */
  stack: string
  kernel: string
  /** By the stack. */
  summary: PingSummary
}

export class PingOracle {
  /** Where the stack is. */
  readonly host: Namespace
  readonly stack: StackProcess
  readonly #twin: Namespace
  readonly #peer: Namespace

  private constructor(host: Namespace, stack: StackProcess, twin: Namespace, peer: Namespace) {
    this.host = host
    this.stack = stack
    this.#twin = twin
    this.#peer = peer
  }

  static async make(bed: Testbed): Promise<PingOracle> {
    const [host, twin, peer] = [bed.namespace('host'), bed.namespace('twin'), bed.namespace('peer')]
    const stack = await StackProcess.start(host, {
      tuns: [{ name: 'tun0', kernel: KERNEL, address: STACK }],
      lo: [LO],
      routes: ['default via 10.9.0.1 dev tun0'],
    })
    bed.veth(
      { namespace: twin, device: 'tun0', address: KERNEL },
      { namespace: peer, device: 'eth0', address: STACK },
    )
    peer.ip(`addr add ${LO} dev lo`)
    peer.ip('route add default via 10.9.0.1')
    for (const one of [host, twin]) one.ip('route add 10.0.3.0/24 via 10.9.0.2 dev tun0')
    return new PingOracle(host, stack, twin, peer)
  }

  /** Sets a sysctl of the stack, and of the kernel in its place. */
  async sysctl(name: string, value: number): Promise<void> {
    await this.stack.call('sysctl', name, value)
    this.#peer.sysctl(name, value)
  }

  /** Runs ping in both places. */
  async ping(args: string): Promise<PingPair> {
    const [result, kernel] = await Promise.all([
      this.host.run(`ping ${args}`),
      this.#twin.run(`ping ${args}`),
    ])
    return {
      stack: masked(result),
      kernel: masked(kernel),
      summary: parsePing(result.stdout),
    }
  }
}
