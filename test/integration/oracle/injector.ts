/**
 * The program that plays the wire for the kernel: it holds TUN devices, writes the packets that its parent
 * sends it, and reports what the kernel wrote back and, where tracefs is there, why it dropped packets. A TUN
 * processes what is written to it inside of `write()`, so this process's own trace events are those of its
 * packets.
 */
import { execFileSync } from 'node:child_process'
import {
  closeSync,
  constants,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmdirSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises'
import { loadAddon } from '../../../lib/device/tun/addon.ts'
import type { TunHandle } from '../../../lib/device/tun/driver.ts'
import type { Request, Response, WirePacket } from './injector-protocol.ts'

const SLOT = 65536
const BATCH = 32

const driver = loadAddon()
const memory = new Uint8Array(new ArrayBuffer(SLOT))
const arena = driver.registerArena(memory.buffer)

/** One TUN device and what the kernel sent through it. */
class Wire {
  readonly received: WirePacket[] = []
  readonly #name: string
  readonly #handle: TunHandle
  readonly #descriptors = new Uint32Array(3 * BATCH)
  readonly #memory = new Uint8Array(new ArrayBuffer(BATCH * SLOT))

  constructor(name: string) {
    this.#name = name
    const handle = driver.open({ devicePath: '/dev/net/tun', name, vnetHeader: false })
    if ('errno' in handle) throw new Error(`${handle.syscall} of ${name}: errno ${-handle.errno}`)
    this.#handle = handle
    const slots = driver.registerArena(this.#memory.buffer)
    for (let i = 0; i < BATCH; i++) this.#descriptors.set([slots, i * SLOT, SLOT - 1], 3 * i)
    const ring = {
      descriptors: this.#descriptors,
      headers: null,
      spill: null,
      maxBatch: BATCH,
      busyMicroseconds: 0,
    }
    handle.start(ring, (n) => this.#read(n))
  }

  #read(n: number): void {
    for (let i = 0; i < n; i++) {
      const at = i * SLOT
      const bytes = this.#memory.slice(at, at + this.#descriptors[3 * i + 2]!)
      this.received.push({ device: this.#name, bytes })
      this.#descriptors[3 * i + 2] = SLOT - 1
    }
  }

  /** Bytes, or a negative errno. */
  write(bytes: Uint8Array): number {
    memory.set(bytes)
    const status = new Int32Array(1)
    this.#handle.writeBatch(Uint32Array.of(arena, 0, bytes.length), null, null, 1, status)
    return status[0]!
  }

  close(): void {
    this.#handle.close()
  }
}

/** The kernel's drop reasons of this process's packets, through an instance of tracefs of its own. */
class DropTrace {
  readonly #instance: string
  readonly #pipe: number
  readonly #buffer = Buffer.alloc(1 << 16)

  constructor(folder: string) {
    for (const name of readdirSync(join(folder, 'instances'))) {
      const pid = /^tunstack-(\d+)$/.exec(name)?.[1]
      if (pid !== undefined && !existsSync(`/proc/${pid}`)) rmdirSync(join(folder, 'instances', name))
    }
    this.#instance = join(folder, 'instances', `tunstack-${process.pid}`)
    mkdirSync(this.#instance)
    const write = (file: string, text: string): void => writeFileSync(join(this.#instance, file), text)
    write('set_event_pid', `${process.pid}`)
    write('events/skb/kfree_skb/filter', 'protocol == 2048')
    write('events/skb/kfree_skb/enable', '1')
    this.#pipe = openSync(join(this.#instance, 'trace_pipe'), constants.O_RDONLY | constants.O_NONBLOCK)
  }

  /** Reasons since the last call, in order. */
  take(): string[] {
    let text = ''
    try {
      for (;;) {
        const n = readSync(this.#pipe, this.#buffer)
        if (n === 0) break
        text += this.#buffer.toString('latin1', 0, n)
      }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error
    }
    const reasons = [...text.matchAll(/kfree_skb: .* reason: (\w+)/g)].map((match) => match[1]!)
    // What waited in a namespace that is being removed: softirq work of others that ran in this process.
    return reasons.filter((reason) => reason !== 'QUEUE_PURGE')
  }

  remove(): void {
    closeSync(this.#pipe)
    writeFileSync(join(this.#instance, 'events/skb/kfree_skb/enable'), '0')
    rmdirSync(this.#instance)
  }
}

/** `null`, with the reason, where there is no tracefs, or where the kernel is too old to tell reasons apart. */
function openTrace(): DropTrace | string {
  try {
    // In the mount namespace that `ip netns exec` made for this process, with a /sys of its own: it goes with it.
    const folder = '/sys/kernel/tracing'
    execFileSync('mount', ['-t', 'tracefs', 'nodev', folder], { stdio: 'pipe' })
    const format = readFileSync(join(folder, 'events/skb/kfree_skb/format'), 'latin1')
    if (!format.includes('IP_LOCAL_SOURCE')) return 'this kernel knows too few drop reasons'
    return new DropTrace(folder)
  } catch (error) {
    return (error as Error).message.split('\n')[0]!
  }
}

const wires = new Map<string, Wire>()
const trace = openTrace()

/** When the parent has gone, too. */
function end(): void {
  if (typeof trace !== 'string') trace.remove()
  process.exit()
}

async function handle(request: Request): Promise<Response> {
  switch (request.do) {
    case 'open':
      for (const name of request.devices) wires.set(name, new Wire(name))
      return {}
    case 'close':
      for (const wire of wires.values()) wire.close()
      wires.clear()
      return {}
    case 'send': {
      for (const wire of wires.values()) wire.received.length = 0
      if (typeof trace !== 'string') trace.take()
      const refused: number[] = []
      for (const { device, bytes } of request.packets)
        refused.push(Math.min(0, wires.get(device)!.write(bytes)))
      await sleep(Math.max(1, request.wait))
      const received = (): WirePacket[] => [...wires.values()].flatMap((wire) => wire.received)
      // What was sent is in the devices' queues by now: it only has to be read.
      for (let before = -1; before !== received().length; ) {
        before = received().length
        await turn()
        await turn()
      }
      return {
        refused,
        received: received(),
        ...(typeof trace === 'string' ? {} : { drops: trace.take() }),
      }
    }
  }
}

process.on('disconnect', end)
process.on('message', (request: Request) => {
  handle(request)
    .catch((error: Error) => ({ error: error.stack ?? String(error) }))
    .then((response) => process.send!(response))
})
process.send!({ ready: true, ...(typeof trace === 'string' ? { noTrace: trace } : {}) } satisfies Response)
