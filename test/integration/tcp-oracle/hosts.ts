/** The two sides: the kernel in a namespace of its own in real time, and a stack in virtual time. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { HOST } from '../../conformance/harness.ts'
import type { Bytes } from '../../conformance/packets.ts'
import { type PeerHost, readSegment, type Segment, TcpBench } from '../../conformance/tcp-peer.ts'
import type { Namespace } from '../netns.ts'
import type { Answer, Order } from './protocol.ts'
import { CLOSER } from './services.ts'

const ROOT = fileURLToPath(new URL('../../../', import.meta.url))
const PROGRAM = fileURLToPath(new URL('./kernel-services.ts', import.meta.url))

/** Settings under which the two are compared: pacing of answers would depend on the clock. */
export const SETTINGS: Readonly<Record<string, string | number>> = {
  // Which writes go together depends on when they come.
  tcp_autocorking: 0,
  tcp_invalid_ratelimit: 0,
  tcp_congestion_control: 'reno',
  tcp_syncookies: 0,
  tcp_max_syn_backlog: 10_000,
  tcp_ecn: 0,
  // Nothing is sent again while a script runs: when, real time would decide.
  tcp_rto_min_us: 3_000_000,
  tcp_early_retrans: 0,
}

export class KernelHost implements PeerHost {
  time = 0
  readonly #program: ChildProcess
  #packets: Bytes[] = []

  private constructor(program: ChildProcess) {
    this.#program = program
  }

  static async start(namespace: Namespace): Promise<KernelHost> {
    for (const [name, value] of Object.entries(SETTINGS)) namespace.sysctl(`net.ipv4.${name}`, value)
    const [file, ...args] = [...namespace.prefix, 'setpriv', '--pdeathsig', 'KILL']
    const program = spawn(file!, [...args, process.execPath, '--import', 'tsx', PROGRAM], {
      cwd: ROOT,
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      serialization: 'advanced',
    })
    const host = new KernelHost(program)
    await host.#answer()
    return host
  }

  push(...packets: Bytes[]): void {
    this.#packets.push(...packets)
  }

  async elapse(milliseconds = 0): Promise<Segment[]> {
    const packets = this.#packets
    this.#packets = []
    this.#program.send({ packets, wait: Math.max(milliseconds, 5) } satisfies Order)
    const { received } = await this.#answer()
    this.time += milliseconds
    return segmentsOf(received as Bytes[], this.time)
  }

  async #answer(): Promise<Answer> {
    const stop = new AbortController()
    const { signal } = stop
    try {
      const gone = once(this.#program, 'exit', { signal }).then(([code]) => {
        throw new Error(`the program in the namespace ended with ${String(code)}`)
      })
      gone.catch(() => {})
      const [answer] = (await Promise.race([once(this.#program, 'message', { signal }), gone])) as [Answer]
      return answer
    } finally {
      stop.abort()
    }
  }

  async stop(): Promise<void> {
    if (!this.#program.connected) return
    const ended = once(this.#program, 'exit')
    this.#program.disconnect()
    await ended
  }
}

/** TCP to the peer; whatever else a kernel has to say on a device is nothing here. */
function segmentsOf(packets: readonly Bytes[], time: number): Segment[] {
  const own = HOST.split('.').map(Number)
  return packets
    .filter((packet) => packet[9] === 6 && own.every((byte, i) => packet[12 + i] === byte))
    .map((packet) => readSegment(packet, time))
}

export class StackHost extends TcpBench {
  constructor() {
    super()
    for (const [name, value] of Object.entries(SETTINGS)) {
      this.stack.sysctlSet(`net.ipv4.${name}`, value)
    }
    const server = this.stack.tcp.listen({ port: CLOSER, backlog: 4000 })
    void (async () => {
      for await (const socket of server) {
        socket.end()
        void (async () => {
          for await (const chunk of socket) if (chunk.length === 0) break
          await socket.close()
        })().catch(() => {})
      }
    })()
  }
}
