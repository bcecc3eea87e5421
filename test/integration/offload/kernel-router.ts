/**
 * Runs in a network namespace of its own: the kernel as a router between two TUN devices, `in0` with a
 * `virtio_net_hdr`, so that super-segments can be given to it, and `out0` with or without. Writes what its parent
 * sends and reports what the kernel made of it.
 */
import { execFileSync } from 'node:child_process'
import { readFileSync, readSync, writeFileSync, writeSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { loadAddon } from '../../../lib/device/tun/addon.ts'
import type { TunHandle } from '../../../lib/device/tun/driver.ts'
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

const { mtu, offload } = JSON.parse(process.argv[2]!) as RouterSetup
const buffer = new Uint8Array(70_000)

function open(name: string, vnetHeaderSize: number, features: number): TunHandle {
  const handle = loadAddon().open({ devicePath: '/dev/net/tun', name, vnetHeaderSize, offload: features })
  if ('errno' in handle) throw new Error(`${handle.syscall} of ${name}: errno ${-handle.errno}`)
  return handle
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
const input = open('in0', VNET_HEADER, CSUM | TSO4 | TSO6 | TSO_ECN)
const output = open('out0', outHeader, Math.max(0, offload))
const settings = {
  ip_forward: 1,
  icmp_ratelimit: 0,
  icmp_msgs_per_sec: 100_000,
  icmp_msgs_burst: 100_000,
  'conf/all/rp_filter': 0,
}
for (const [name, value] of Object.entries(settings)) writeFileSync(`/proc/sys/net/ipv4/${name}`, `${value}`)
for (const name of ['in0', 'out0']) {
  writeFileSync(`/proc/sys/net/ipv6/conf/${name}/disable_ipv6`, '1')
  writeFileSync(`/proc/sys/net/ipv4/conf/${name}/rp_filter`, '0')
}
ip('link set lo up')
ip('addr add 10.1.0.1/24 dev in0')
ip('addr add 10.2.0.1/24 dev out0')
ip(`link set out0 mtu ${mtu} txqueuelen 100000`)
ip('link set in0 txqueuelen 100000 up')
ip('link set out0 up')

let before = counters()
let droppedBefore = droppedAt('out0')
process.on('message', async ({ frames }: RouterRequest) => {
  const response: RouterResponse = { refused: [], out: [], back: [], counters: {}, dropped: 0 }
  for (const frame of frames) {
    response.refused.push(write(input, frame))
    readAll(output, outHeader, response.out)
    readAll(input, VNET_HEADER, response.back)
  }
  await sleep(5)
  readAll(output, outHeader, response.out)
  readAll(input, VNET_HEADER, response.back)
  const after = counters()
  const droppedAfter = droppedAt('out0')
  response.counters = moved(before, after)
  response.dropped = droppedAfter - droppedBefore
  before = after
  droppedBefore = droppedAfter
  process.send!(response)
})
process.on('disconnect', () => process.exit(0))
process.send!('ready')
