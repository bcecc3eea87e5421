/**
 * Two hosts with a router between them, twice: where the router is a stack with two TUN devices, one in the
 * network namespace of each host, and where it is a kernel with two veth pairs. Names, addresses and routes are
 * the same, so that what a program on a host sees must be the same.
 *
 *     host 10.1.0.2 ─tun0─ 10.1.0.1 router 10.2.0.1 ─tun1─ 10.2.0.2 far      mtu 1500, then 1280
 *                           10.0.3.110/24 on lo
 */
import type { Namespace, Testbed } from '../netns.ts'
import { StackProcess } from './stack-process.ts'
import { masked } from './tool-output.ts'

const LO = '10.0.3.110/24'
export const FAR_MTU = 1280
/** More addresses of the host: how many errors one sender gets is limited. */
const SOURCES = ['10.1.0.11', '10.1.0.12', '10.1.0.13', '10.1.0.14', '10.1.0.15', '10.1.0.16']
const ROUTES = ['unreachable 10.5.0.0/24', 'prohibit 10.6.0.0/24', 'blackhole 10.7.0.0/24']

export class RouterOracle {
  readonly host: Namespace
  readonly far: Namespace
  readonly stack: StackProcess
  readonly #twin: Namespace
  readonly #kernel: Namespace

  private constructor(
    { host, far, twin, kernel }: Record<'host' | 'far' | 'twin' | 'kernel', Namespace>,
    stack: StackProcess,
  ) {
    this.host = host
    this.far = far
    this.stack = stack
    this.#twin = twin
    this.#kernel = kernel
  }

  static async make(bed: Testbed): Promise<RouterOracle> {
    const [host, far] = [bed.namespace('host'), bed.namespace('far')]
    // Its programs run one after another, and each is to get its answers.
    const sysctl = { 'net.ipv4.ip_forward': 1, 'net.ipv4.icmp_ratelimit': 0 }
    const stack = await StackProcess.start(host, {
      tuns: [
        { name: 'tun0', kernel: '10.1.0.2/24', address: '10.1.0.1/24' },
        { name: 'tun1', address: '10.2.0.1/24', mtu: FAR_MTU },
      ],
      lo: [LO],
      sysctl,
      routes: ROUTES,
    })
    host.ip(`link set tun1 netns ${far.name}`)
    far.ip('addr add 10.2.0.2/24 dev tun1')
    far.ip('link set tun1 up')

    const [twin, kernel, twinFar] = [bed.namespace('twin'), bed.namespace('kernel'), bed.namespace('twinfar')]
    bed.veth(
      { namespace: twin, device: 'tun0', address: '10.1.0.2/24' },
      { namespace: kernel, device: 'tun0', address: '10.1.0.1/24' },
    )
    bed.veth(
      { namespace: twinFar, device: 'tun1', address: '10.2.0.2/24', mtu: FAR_MTU },
      { namespace: kernel, device: 'tun1', address: '10.2.0.1/24', mtu: FAR_MTU },
    )
    kernel.ip(`addr add ${LO} dev lo`)
    for (const [name, value] of Object.entries(sysctl)) kernel.sysctl(name, value)
    for (const route of ROUTES) kernel.ip(`route add ${route}`)
    for (const one of [host, twin]) {
      one.ip('route add default via 10.1.0.1')
      for (const source of SOURCES) one.ip(`addr add ${source}/24 dev tun0`)
    }
    for (const one of [far, twinFar]) one.ip('route add default via 10.2.0.1')
    return new RouterOracle({ host, far, twin, kernel }, stack)
  }

  /** Sets a sysctl of the stack, and of the kernel in its place. */
  async sysctl(name: string, value: number): Promise<void> {
    await this.stack.call('sysctl', name, value)
    this.#kernel.sysctl(name, value)
  }

  /** Runs a program on both hosts, which know no path MTU yet, and gives what it printed; times masked. */
  async run(command: string): Promise<{ stack: string; kernel: string }> {
    for (const one of [this.host, this.#twin]) one.ip('route flush cache')
    const [stack, kernel] = await Promise.all([this.host.run(command), this.#twin.run(command)])
    return { stack: masked(stack), kernel: masked(kernel) }
  }
}
