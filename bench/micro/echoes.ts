/** Echoes in one process, without a kernel in between: what the path through the stack costs. */
import { parseIpv4 } from '../../lib/address/ipv4-address.ts'
import { createPipe, Stack } from '../../lib/index.ts'
import type { PingEndpoint, PingReceiver } from '../../lib/ping/ping-endpoint.ts'
import { EchoGenerator } from './echo-generator.ts'
import type { Timing } from './timing.ts'

/** Requests under way at a time. */
const WINDOW = 64

/** A stack that answers a generator; `echo(n)` has n requests answered. */
export function answeringStack(): { stack: Stack; echo(n: number): Promise<void> } {
  const stack = new Stack()
  const generator = new EchoGenerator()
  stack.addDevice(generator).addAddress('10.0.0.1/24')
  generator.prepare(parseIpv4('10.0.0.2'), parseIpv4('10.0.0.1'), WINDOW)
  return { stack, echo: (n) => generator.run(n) }
}

/** Answered requests per second, by the path from one device's burst to the next. */
export async function answered(timing: Timing): Promise<number> {
  const { stack, echo } = answeringStack()
  const result = await perSecond(echo, timing)
  await stack.close()
  return result
}

/** Round trips per second between a ping endpoint of one stack and another stack, over a pipe. */
export async function overPipe(timing: Timing): Promise<number> {
  const [left, right] = createPipe({ names: ['eth0', 'eth0'] })
  const near = new Stack()
  const far = new Stack()
  near.addDevice(left).addAddress('10.0.0.1/24')
  far.addDevice(right).addAddress('10.0.0.2/24')
  const result = await perSecond(pinger(near, '10.0.0.2'), timing)
  await Promise.all([near.close(), far.close()])
  return result
}

/** Round trips per second of a stack with itself, over its loopback device. */
export async function overLoopback(timing: Timing): Promise<number> {
  const stack = new Stack()
  const result = await perSecond(pinger(stack, '127.0.0.1'), timing)
  await stack.close()
  return result
}

/** Keeps {@link WINDOW} requests under way; the next batch leaves when the replies to the last are there. */
class Flood implements PingReceiver {
  readonly #endpoint: PingEndpoint
  readonly #payload = new Uint8Array(56)
  #left = 0
  #waiting = 0
  #done: (() => void) | null = null

  constructor(endpoint: PingEndpoint) {
    this.#endpoint = endpoint
    endpoint.receiver = this
  }

  run(echoes: number): Promise<void> {
    this.#left = echoes
    return new Promise((resolve) => {
      this.#done = resolve
      this.#send()
    })
  }

  received(): void {
    if (--this.#waiting === 0) this.#endpoint.announce()
  }

  deliverEvents(): void {
    if (this.#left > 0) this.#send()
    else this.#done?.()
  }

  failed(): void {
    throw new Error('an echo request failed')
  }

  stopped(): void {}

  #send(): void {
    const n = Math.min(WINDOW, this.#left)
    this.#left -= n
    this.#waiting = n
    for (let i = 0; i < n; i++) this.#endpoint.send(i, this.#payload)
  }
}

function pinger(stack: Stack, address: string): (echoes: number) => Promise<void> {
  const endpoint = stack.pings.open({
    destination: parseIpv4(address),
    source: 0,
    device: 0,
    ttl: 0,
    tos: 0,
    mark: 0,
    pathMtuDiscovery: 'want',
    broadcast: false,
  })
  const flood = new Flood(endpoint)
  return (echoes) => flood.run(echoes)
}

async function perSecond(echo: (n: number) => Promise<void>, { milliseconds }: Timing): Promise<number> {
  let n = 1000
  const time = async (): Promise<number> => {
    const start = performance.now()
    await echo(n)
    return performance.now() - start
  }
  while ((await time()) < milliseconds / 10) n *= 2
  for (let i = 0; i < 3; i++) await time()
  n *= 10
  return (n * 1000) / (await time())
}
