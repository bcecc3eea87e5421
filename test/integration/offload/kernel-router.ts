/**
 * Runs in a network namespace of its own: the kernel as a router between two TUN devices, one in with a
 * `virtio_net_hdr`, so that super-segments can be given to it, or with NAPI, and `out0` with the header or without. Writes what its parent
 * sends and reports what the kernel made of it.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, readSync, writeFileSync, writeSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { loadAddon } from '../../../lib/device/tun/addon.ts'
import { InterfaceProperty, type TunHandle } from '../../../lib/device/tun/driver.ts'
import { isCompared, moved } from '../oracle/scenario.ts'
import {
  decodeVnet,
  encodeVnet,
  type Frame,
  type RouterRequest,
  type RouterResponse,
  type RouterSetup,
  TunOffload,
  VNET_HEADER,
} from './router-protocol.ts'

const { mtu, offload, napi } = JSON.parse(process.argv[2]!) as RouterSetup
const buffer = new Uint8Array(70_000)
/** The kernel names the thread that polls a device by it, and all namespaces share the list of threads. */
const IN = napi === undefined ? 'in0' : `in${process.pid}`

function open(name: string, vnetHeader: boolean, features: number): TunHandle {
  const handle = loadAddon().open({ devicePath: '/dev/net/tun', name, vnetHeader })
  if ('errno' in handle) throw new Error(`${handle.syscall} of ${name}: errno ${-handle.errno}`)
  const refused = vnetHeader ? handle.setProperty(InterfaceProperty.OFFLOAD, features) : 0
  if (refused < 0) throw new Error(`TUNSETOFFLOAD of ${name}: errno ${-refused}`)
  return handle
}

/** Holds `in0` so that the kernel merges what it receives by it: see napi-tun.c. */
class NapiInput {
  readonly #program: ChildProcess

  constructor(program: string) {
    this.#program = spawn(program, [IN, '0'], { stdio: ['pipe', 'pipe', 'inherit'] })
  }

  async start(): Promise<void> {
    await once(this.#program.stdout!, 'data')
    writeFileSync(`/sys/class/net/${IN}/threaded`, '1')
    const thread = execFileSync('ps', ['-eo', 'pid,comm'], { encoding: 'latin1' })
      .split('\n')
      .find((line) => line.includes(`napi/${IN}`))!
    const pid = thread.trim().split(' ')[0]!
    execFileSync('taskset', ['-cp', '0', pid])
    // It follows at once on the program that writes, and does not interrupt it.
    execFileSync('chrt', ['-f', '-p', '1', pid])
  }

  async write(frames: Frame[]): Promise<void> {
    const parts = frames.flatMap(({ bytes }) => [Uint8Array.of(bytes.length >> 8, bytes.length), bytes])
    this.#program.stdin!.write(Buffer.concat([...parts, Uint8Array.of(0, 0)]))
    const [line] = (await once(this.#program.stdout!, 'data')) as [Buffer]
    if (Number(line) !== frames.length) throw new Error(`${Number(line)} of ${frames.length} packets went in`)
  }

  stop(): void {
    this.#program.stdin!.end()
  }
}

function write(handle: TunHandle, { vnet, bytes }: Frame): number {
  const frame = new Uint8Array(VNET_HEADER + bytes.length)
  encodeVnet(vnet!, frame)
  frame.set(bytes, VNET_HEADER)
  try {
    writeSync(handle.fd, frame)
    return 0
  } catch (error) {
    return (error as NodeJS.ErrnoException).errno!
  }
}

function readAll(handle: TunHandle, vnetHeaderSize: number, frames: Frame[]): void {
  for (;;) {
    let length: number
    try {
      length = readSync(handle.fd, buffer)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return
      throw error
    }
    frames.push({
      vnet: vnetHeaderSize === 0 ? null : decodeVnet(buffer),
      bytes: buffer.slice(vnetHeaderSize, length),
    })
  }
}

function counters(): Record<string, number> {
  const read: Record<string, number> = {}
  for (const file of ['snmp', 'netstat']) {
    const lines = readFileSync(`/proc/net/${file}`, 'latin1').trimEnd().split('\n')
    for (let i = 0; i + 1 < lines.length; i += 2) {
      const [prefix, ...names] = lines[i]!.split(' ')
      const values = lines[i + 1]!.split(' ').slice(1)
      names.forEach((name, column) => {
        const full = prefix!.slice(0, -1) + name
        if (isCompared(full)) read[full] = Number(values[column])
      })
    }
  }
  return read
}

const droppedAt = (name: string): number =>
  Number(readFileSync(`/sys/class/net/${name}/statistics/tx_dropped`, 'latin1'))

const ip = (words: string): void => void execFileSync('ip', words.split(' '))

// The mount namespace is the parent's: /sys shows the namespace that mounted it.
execFileSync('mount', ['-t', 'sysfs', 'sysfs', '/sys'])
const outHeader = offload < 0 ? 0 : VNET_HEADER
const { CSUM, TSO4, TSO6, TSO_ECN } = TunOffload
const merging = napi === undefined ? null : new NapiInput(napi)
await merging?.start()
const input = merging === null ? open(IN, true, CSUM | TSO4 | TSO6 | TSO_ECN) : null
const output = open('out0', offload >= 0, Math.max(0, offload))
const settings = {
  ip_forward: 1,
  icmp_ratelimit: 0,
  icmp_msgs_per_sec: 100_000,
  icmp_msgs_burst: 100_000,
  'conf/all/rp_filter': 0,
}
for (const [name, value] of Object.entries(settings)) writeFileSync(`/proc/sys/net/ipv4/${name}`, `${value}`)
for (const name of [IN, 'out0']) {
  writeFileSync(`/proc/sys/net/ipv6/conf/${name}/disable_ipv6`, '1')
  writeFileSync(`/proc/sys/net/ipv4/conf/${name}/rp_filter`, '0')
}
ip('link set lo up')
ip(`addr add 10.1.0.1/24 dev ${IN}`)
ip('addr add 10.2.0.1/24 dev out0')
ip(`link set out0 mtu ${mtu} txqueuelen 100000`)
ip(`link set ${IN} txqueuelen 100000 up`)
ip('link set out0 up')

let before = counters()
let droppedBefore = droppedAt('out0')
process.on('message', async ({ frames }: RouterRequest) => {
  const response: RouterResponse = { refused: [], out: [], back: [], counters: {}, dropped: 0 }
  if (input !== null) {
    for (const frame of frames) {
      response.refused.push(write(input, frame))
      readAll(output, outHeader, response.out)
      readAll(input, VNET_HEADER, response.back)
    }
    await sleep(5)
    readAll(input, VNET_HEADER, response.back)
  } else {
    await merging!.write(frames)
    await sleep(5)
  }
  readAll(output, outHeader, response.out)
  const after = counters()
  const droppedAfter = droppedAt('out0')
  response.counters = moved(before, after)
  response.dropped = droppedAfter - droppedBefore
  before = after
  droppedBefore = droppedAfter
  process.send!(response)
})
process.on('disconnect', () => {
  merging?.stop()
  process.exit(0)
})
process.send!('ready')
