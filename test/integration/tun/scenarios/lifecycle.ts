/** Ends of every kind: closing, deletion from outside, threads, memory, privileges. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { Worker } from 'node:worker_threads'
import { expect } from 'chai'
import type { TunDevice } from '../../../../lib/device/tun/index.ts'
import type { TunstackError } from '../../../../lib/errors.ts'
import type { Packet } from '../../../../lib/packet/packet.ts'
import { PacketPool } from '../../../../lib/packet/packet-pool.ts'
import {
  attach,
  echo,
  flood,
  ip,
  KERNEL,
  kernelSocket,
  openTun,
  ping,
  STACK,
  send,
  sleep,
  udpEcho,
  udpPacket,
  until,
} from '../bench.ts'

const PORT = 4000
const NOBODY = 65534
const WORKER = new URL('../worker-start.mjs', import.meta.url)

const interfaces = (): string => ip('-br', 'link')
const descriptors = (): number => readdirSync('/proc/self/fd').length

function dropPrivileges(): void {
  process.setgroups!([])
  process.setgid!(NOBODY)
  process.setuid!(NOBODY)
}

async function udpRoundTrip(payload: string): Promise<string> {
  const socket = await kernelSocket(PORT)
  socket.send(payload, PORT, STACK)
  const [message] = (await once(socket, 'message')) as [Buffer]
  socket.close()
  return message.toString()
}

function codeOf(action: () => unknown): string {
  try {
    action()
  } catch (error) {
    return (error as TunstackError).code
  }
  return 'nothing thrown'
}

export const lifecycle: Record<string, () => Promise<void>> = {
  async 'close while reading'() {
    const tun = await openTun({ address: `${KERNEL}/24` })
    const { pool, changes } = attach(tun, echo(tun))
    const pinging = flood()
    await until(() => tun.stats.get('rxPackets') > 500, 'packets flow')
    const closed = tun.close()
    expect(interfaces()).to.not.contain('tun0')
    expect(pool.outstanding).to.equal(0)
    await closed
    await tun.close()
    pinging.kill()
    await until(() => changes() === 1, 'the host was told')
    expect(tun).to.include({ gone: true, closed: true, error: null })
  },

  async 'close inside the callback'() {
    const tun = await openTun({ address: `${KERNEL}/24` })
    const { pool } = attach(tun, (packet) => {
      packet.free()
      void tun.close()
      expect(interfaces()).to.not.contain('tun0')
    })
    const socket = await kernelSocket(PORT)
    for (let n = 0; n < 20; n++) socket.send('x', PORT, STACK)
    await until(() => tun.closed, 'it has closed itself')
    expect(pool.outstanding).to.equal(0)
    socket.close()
  },

  async 'close before it was ever attached'() {
    const tun = await openTun()
    await tun.close()
    expect(interfaces()).to.not.contain('tun0')
    expect(codeOf(() => tun.kernel.mtu)).to.equal('ERR_TUN_CLOSED')
    expect(codeOf(() => tun.setMtu(1400))).to.equal('ERR_TUN_CLOSED')
  },

  /** Prints when the loop would have ended without the device. */
  async 'an open device keeps the process alive'() {
    const tun = await openTun()
    setTimeout(() => {
      console.log('alive')
      void tun.close()
    }, 300).unref()
  },

  async 'an unreferenced device lets the process end'() {
    const tun = await openTun({ address: `${KERNEL}/24` })
    attach(tun, echo(tun))
    tun.unref()
    setTimeout(() => console.log('still alive'), 5000).unref()
  },

  async 'interface deleted under it'() {
    const tun = await openTun({ address: `${KERNEL}/24` })
    const errors: TunstackError[] = []
    tun.onError = (error) => errors.push(error)
    const { pool, changes } = attach(tun, echo(tun))
    expect(await ping(1)).to.equal(1)
    ip('link', 'delete', 'tun0')
    await until(() => tun.gone, 'the device knows')
    expect(tun.error).to.include({ code: 'ERR_TUN_GONE', errno: -77, value: 'tun0' })
    expect(tun).to.include({ carrier: false, closed: false })
    expect(errors).to.deep.equal([tun.error])
    expect(changes()).to.equal(1)
    send(tun, new PacketPool().from(udpPacket(PORT, new Uint8Array(4)))!)
    expect(tun.stats.get('txDropped')).to.equal(1)
    expect(codeOf(() => tun.kernel.mtu)).to.equal('ERR_TUN_GONE')
    expect(pool.outstanding).to.equal(0)
    await tun.close()
    const again = await openTun({ name: 'tun0' })
    await again.close()
  },

  async 'interface deleted while it is paused, and between two writes'() {
    const tun = await openTun({ address: `${KERNEL}/24` })
    attach(tun, echo(tun))
    tun.pause()
    ip('link', 'delete', 'tun0')
    send(tun, new PacketPool().from(udpPacket(PORT, new Uint8Array(4)))!)
    expect(tun.stats.get('txDropped')).to.equal(1)
    expect(tun.refusal?.code).to.equal('ERR_TUN_GONE')
    await until(() => tun.error !== null, 'the device knows')
    await tun.close()
  },

  async 'interface deleted and the process ends by itself'() {
    const tun = await openTun({ address: `${KERNEL}/24` })
    attach(tun, echo(tun))
    ip('link', 'delete', 'tun0')
    await until(() => tun.gone, 'the device knows')
  },

  async 'worker terminated with open devices'() {
    for (let round = 0; round < 5; round++) {
      const worker = new Worker(WORKER)
      await once(worker, 'message')
      expect(interfaces()).to.contain('tun0').and.contain('tun1')
      const pinging = flood()
      await sleep(150)
      // Without an environment cleanup hook the whole process aborts here.
      await worker.terminate()
      pinging.kill()
      expect(interfaces()).to.not.contain('tun')
    }
  },

  async 'worker ends by itself with an open device'() {
    const worker = new Worker(WORKER, { workerData: 'exit' })
    await once(worker, 'exit')
    expect(interfaces()).to.not.contain('tun')
  },

  async 'process.exit with an open device'() {
    const tun = await openTun({ address: `${KERNEL}/24` })
    attach(tun, echo(tun))
    expect(await ping(1)).to.equal(1)
    process.exit(0)
  },

  async 'an error of the stack is an uncaught exception, and the device goes on'() {
    const tun = await openTun({ address: `${KERNEL}/24` })
    const caught: Error[] = []
    process.on('uncaughtException', (error) => caught.push(error))
    const answer = echo(tun)
    let first = true
    attach(tun, (packet) => {
      if (!first) return answer(packet)
      first = false
      packet.free()
      throw new Error('bug in the stack')
    })
    await ping(1, '-W', '0.2')
    expect(caught.map((error) => error.message)).to.deep.equal(['bug in the stack'])
    expect(await ping(2, '-i', '0.02')).to.equal(2)
    await tun.close()
  },

  async 'many open and close cycles'() {
    const first = await openTun({ name: 'keep0', persist: true })
    await first.close()
    const before = descriptors()
    const pool = new PacketPool()
    // Making and deleting an interface waits for the kernel's RCU; attaching to a persistent one does not.
    const cycles = async (from: number, to: number): Promise<number> => {
      for (let n = from; n < to; n++) {
        const tun = n % 100 === 0 ? await openTun() : await openTun({ name: 'keep0' })
        if (n % 3 === 0) attach(tun, (packet) => packet.free(), pool)
        await tun.close()
        if (n % 50 === 0) await sleep(0)
      }
      await sleep(10)
      globalThis.gc!()
      return process.memoryUsage().rss
    }
    const early = await cycles(0, 3000)
    const middle = await cycles(3000, 6500)
    const late = await cycles(6500, 10_000)
    // The runtime opens and closes a few of its own.
    expect(descriptors()).to.be.at.most(before + 4)
    expect(interfaces()).to.not.contain('tun0')
    expect(pool.outstanding).to.equal(0)
    // A leak grows all the time, what the runtime takes for itself comes at once. A kilobyte per cycle would be 3.5 MB.
    const growth = Math.min(middle - early, late - middle)
    expect(growth, 'growth of memory').to.be.below(2.5 * 2 ** 20)
    console.log(`${(growth / 3500).toFixed()} bytes a cycle`)
  },

  /** For the test of what is left behind: it does not end by itself. */
  async 'open until killed'() {
    const tun = await openTun({ address: `${KERNEL}/24` })
    attach(tun, echo(tun))
    console.log('open')
  },

  async 'killed with an open device'() {
    const words = [
      '--import',
      'tsx',
      new URL('../scenario.ts', import.meta.url).pathname,
      'open until killed',
    ]
    const child = spawn(process.execPath, words, { stdio: ['ignore', 'pipe', 'inherit'] })
    await once(child.stdout, 'data')
    expect(await ping(1)).to.equal(1)
    child.kill('SIGKILL')
    await once(child, 'close')
    expect(interfaces()).to.not.contain('tun')
    const again = await openTun({ name: 'tun0' })
    await again.close()
  },

  async 'devices and arenas that are forgotten are collected'() {
    const count = (): number => interfaces().split('tun').length - 1
    for (let n = 0; n < 30; n++) await openTun({ up: false })
    expect(count()).to.equal(30)
    // The last one may still be on some stack.
    for (let round = 0; round < 100 && count() > 1; round++) {
      globalThis.gc!()
      await sleep(10)
    }
    expect(count()).to.be.at.most(1)
    process.exit(0)
  },

  async 'packet memory transferred to another thread'() {
    const tun = await openTun({ address: `${KERNEL}/24` })
    const pool = new PacketPool()
    attach(tun, udpEcho(tun), pool)
    expect(await udpRoundTrip('before')).to.equal('before')
    const slotsArena = pool.allocate(10)!
    // All arenas made so far: the one that is read into, and the one this packet lies in.
    const victim = pool.allocate(10)!
    for (const { bytes } of new Set([slotsArena.slab.arena, victim.slab.arena])) {
      structuredClone(bytes.buffer, { transfer: [bytes.buffer] })
    }
    victim.end = victim.start + 40
    send(tun, victim)
    expect(tun.stats.get('txErrors')).to.equal(1)
    expect(tun.refusal?.code).to.equal('EFAULT')
    expect(tun.gone).to.equal(false)
    await tun.close()
  },

  async 'the slots’ memory transferred under the driver'() {
    const tun = await openTun({ address: `${KERNEL}/24` })
    let steal = true
    const answer = udpEcho(tun)
    attach(tun, (packet: Packet) => {
      if (!steal) return answer(packet)
      steal = false
      const { buffer } = packet.bytes
      structuredClone(buffer, { transfer: [buffer] })
      expect(buffer.byteLength).to.equal(0)
    })
    const socket = await kernelSocket(PORT)
    socket.send('lost', PORT, STACK)
    await until(() => !steal, 'the arena is stolen')
    socket.close()
    await sleep(20)
    expect(await udpRoundTrip('after')).to.equal('after')
    expect(tun.gone).to.equal(false)
    expect(tun.stats.get('rxErrors')).to.be.at.least(1)
    await tun.close()
  },

  async 'privileges dropped after opening'() {
    const tun = await openTun({ address: `${KERNEL}/24` })
    attach(tun, udpEcho(tun))
    dropPrivileges()
    expect(process.getuid!()).to.equal(NOBODY)
    expect(await udpRoundTrip('still here')).to.equal('still here')
    expect(codeOf(() => tun.setMtu(1400))).to.equal('ERR_TUN_PERMISSION')
    expect(codeOf(() => (tun.kernel.up = false))).to.equal('ERR_TUN_PERMISSION')
    expect(tun.kernel.mtu).to.equal(1500)
    expect(await udpRoundTrip('and here')).to.equal('and here')
    await tun.close()
    expect(interfaces()).to.not.contain('tun0')
  },

  async 'persistent TUN of an unprivileged user'() {
    ip('tuntap', 'add', 'dev', 'mine0', 'mode', 'tun', 'user', String(NOBODY))
    ip('addr', 'add', `${KERNEL}/24`, 'dev', 'mine0')
    ip('link', 'set', 'mine0', 'up')
    const devicePath = process.env['TUNSTACK_TEST_NODE']!
    // Loads the addon while it may still be built.
    await openTun().then((tun) => tun.close())
    dropPrivileges()
    const tun: TunDevice = await openTun({ name: 'mine0', devicePath, address: `${KERNEL}/24` })
    attach(tun, udpEcho(tun))
    expect(await udpRoundTrip('no root')).to.equal('no root')
    await tun.close()
  },
}
