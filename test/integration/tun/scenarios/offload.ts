/** Checksums left open and super-segments, between the driver and the kernel, and through it between two kernels. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import type { Socket } from 'node:dgram'
import { once } from 'node:events'
import { createRequire } from 'node:module'
import { connect } from 'node:net'
import { expect } from 'chai'
import type { TunDevice } from '../../../../lib/device/tun/index.ts'
import { loadDriver } from '../../../../lib/device/tun/load-driver.ts'
import { VirtioHeaders } from '../../../../lib/device/tun/virtio-header.ts'
import { Burst } from '../../../../lib/packet/burst.ts'
import { Checksum, Gso, type Packet } from '../../../../lib/packet/packet.ts'
import { PacketPool } from '../../../../lib/packet/packet-pool.ts'
import { systemClock } from '../../../../lib/time/system-clock.ts'
import { checksum, fold, pseudoHeaderSum, updateChecksum16 } from '../../../../lib/wire/checksum.ts'
import {
  attach,
  DRIVER,
  ip,
  isUdp,
  KERNEL,
  kernelSocket,
  openTun,
  STACK,
  udpPacket,
  until,
} from '../bench.ts'

const PORT = 4000
const EVERYTHING = { checksum: true, tso: true, tsoEcn: true, uso: true }

interface LinkCounters {
  stats64: Record<'rx' | 'tx', { packets: number; bytes: number; errors: number }>
}

function kernelCounters(name: string, ...inNamespace: string[]): LinkCounters['stats64'] {
  const words = [...inNamespace, 'ip', '-j', '-s', 'link', 'show', name]
  const [link] = JSON.parse(execFileSync(words[0]!, words.slice(1), { encoding: 'utf8' })) as [LinkCounters]
  return link.stats64
}

/** Has the kernel cut what is sent through the socket into datagrams of `size` bytes (`UDP_SEGMENT`), or not (0). */
function segment(socket: Socket, size: number): void {
  const koffi = createRequire(import.meta.url)('koffi') as {
    load(path: null): { func(definition: string): (...words: unknown[]) => number }
  }
  const setsockopt = koffi.load(null).func('int setsockopt(int, int, int, void *, uint)')
  const { fd } = (socket as unknown as { _handle: { fd: number } })._handle
  expect(setsockopt(fd, 17, 103, Int32Array.of(size), 4)).to.equal(0)
}

/** Verifies the UDP checksum of an IPv4 packet without options, as it stands. */
function udpChecksumHolds({ bytes, start, end }: Packet): boolean {
  const addresses = new DataView(bytes.buffer, start + 12)
  const pseudo = pseudoHeaderSum(addresses.getUint32(0), addresses.getUint32(4), 17, end - start - 20)
  return checksum(bytes, start + 20, end, pseudo) === 0
}

/** Another kernel's end: a network namespace that lives as long as its process, and the words that run things in it. */
class OtherNamespace {
  readonly #holder: ChildProcess

  constructor() {
    this.#holder = spawn('unshare', ['--net', 'sleep', '60'], { stdio: 'ignore' })
  }

  async ready(): Promise<this> {
    await until(() => this.#differs(), 'the namespace is there')
    this.ip('link', 'set', 'lo', 'up')
    return this
  }

  #differs(): boolean {
    const at = (pid: number | string): string =>
      execFileSync('readlink', [`/proc/${pid}/ns/net`], { encoding: 'utf8' })
    return at(this.#holder.pid!) !== at('self')
  }

  get pid(): string {
    return String(this.#holder.pid)
  }

  get words(): string[] {
    return ['nsenter', '-t', this.pid, '-n']
  }

  ip(...words: string[]): string {
    return execFileSync('nsenter', [...this.words.slice(1), 'ip', ...words], { encoding: 'utf8' })
  }

  node(script: string): ChildProcess {
    const words = [...this.words.slice(1), process.execPath, '--input-type=module', '-e', script]
    return spawn('nsenter', words, { stdio: ['ignore', 'pipe', 'inherit'] })
  }

  sysctl(name: string, value: string): void {
    execFileSync('nsenter', [...this.words.slice(1), 'sysctl', '-qw', `${name}=${value}`])
  }

  end(): void {
    this.#holder.kill()
  }
}

/** Two devices whose kernels are joined by a wire: what one gives is handed to the other as it is. */
async function wire(
  other: OtherNamespace,
  onPacket: (packet: Packet) => void = () => {},
): Promise<{ here: TunDevice; there: TunDevice; pool: PacketPool }> {
  const here = await openTun({ name: 'here0', address: `${KERNEL}/24`, txQueueLength: 2000 })
  const there = await openTun({ name: 'there0', txQueueLength: 2000, up: false })
  ip('link', 'set', 'there0', 'netns', other.pid)
  other.ip('addr', 'add', `${STACK}/24`, 'dev', 'there0')
  other.ip('link', 'set', 'there0', 'up')
  const pool = new PacketPool()
  const join = (from: TunDevice, to: TunDevice): (() => void) => {
    const waiting = new Burst()
    const drain = (): void => {
      waiting.shift(to.transmit(waiting))
      if (waiting.length === 0) from.resume()
      else from.pause()
    }
    from.attach({
      pool,
      clock: systemClock(),
      receive(burst) {
        for (let i = 0; i < burst.length; i++) {
          onPacket(burst.packets[i]!)
          waiting.push(burst.packets[i]!)
        }
        burst.clear()
        drain()
      },
      schedule: () => {},
      wake: () => wakes.get(from)!(),
      changed: () => {},
    })
    return drain
  }
  // A device wakes whoever sends to it.
  const wakes = new Map<TunDevice, () => void>()
  const drainThere = join(here, there)
  const drainHere = join(there, here)
  wakes.set(there, drainThere)
  wakes.set(here, drainHere)
  here.setUp(true)
  there.setUp(true)
  return { here, there, pool }
}

/** A server in the other namespace that sends back what it gets. Resolves when it listens. */
async function echoServer(other: OtherNamespace): Promise<ChildProcess> {
  const server = other.node(`
    import { createServer } from 'node:net'
    createServer({ allowHalfOpen: true }, (socket) => socket.pipe(socket)).listen(${PORT}, () => console.log('ready'))`)
  await once(server.stdout!, 'data')
  return server
}

/** Sends that many bytes to the other side and reads them back. */
async function exchange(bytes: number): Promise<void> {
  const sent = createHash('sha256')
  const received = createHash('sha256')
  const socket = connect(PORT, STACK)
  let count = 0
  socket.on('data', (data) => {
    received.update(data)
    count += data.length
  })
  const chunk = Buffer.alloc(1 << 18)
  for (let left = bytes; left > 0; left -= chunk.length) {
    for (let i = 0; i < chunk.length; i += 4) chunk.writeUInt32LE((left + i * 2654435761) >>> 0, i)
    const part = Buffer.from(chunk)
    sent.update(part)
    if (!socket.write(part)) await once(socket, 'drain')
  }
  socket.end()
  await once(socket, 'close')
  expect(count).to.equal(bytes)
  expect(received.digest('hex')).to.equal(sent.digest('hex'))
}

/** Integers below the one that is asked for, the same ones for the same seed. */
function seededRandom(seed: number): (below: number) => number {
  let state = seed >>> 0
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}

export const offload: Record<string, () => Promise<void>> = {
  async 'offload: TCP super-segments both ways'() {
    const other = await new OtherNamespace().ready()
    const { here, there, pool } = await wire(other)
    expect(here.offload).to.deep.equal(EVERYTHING)
    const server = await echoServer(other)
    await exchange(8 << 20)
    for (const tun of [here, there]) {
      expect(tun.io.rxSuperSegments, `${tun.name} in`).to.be.above(50)
      expect(tun.io.txSuperSegments, `${tun.name} out`).to.be.above(50)
      expect(tun.io.rxBadHeaders).to.equal(0)
      expect(tun.stats.snapshot()).to.include({ rxErrors: 0, rxDropped: 0, txErrors: 0, txDropped: 0 })
    }
    // What we count is what the kernel counts on its side, super-segments included.
    for (const [tun, words] of [
      [here, []],
      [there, other.words],
    ] as const) {
      const { rx, tx } = kernelCounters(tun.name, ...words)
      const { rxPackets, rxBytes, txPackets, txBytes } = tun.stats.snapshot()
      expect({ packets: rxPackets, bytes: rxBytes }, `${tun.name} in`).to.include({
        packets: tx.packets,
        bytes: tx.bytes,
      })
      expect({ packets: txPackets, bytes: txBytes }, `${tun.name} out`).to.include({
        packets: rx.packets,
        bytes: rx.bytes,
      })
      expect(rx.errors).to.equal(0)
    }
    server.kill()
    await Promise.all([here.close(), there.close()])
    expect(pool.outstanding).to.equal(0)
    other.end()
  },

  async 'offload: ECN on super-segments'() {
    execFileSync('sysctl', ['-qw', 'net.ipv4.tcp_ecn=1'])
    const other = await new OtherNamespace().ready()
    other.sysctl('net.ipv4.tcp_ecn', '1')
    let data = 0
    let marked = 0
    const { here, there } = await wire(other, (packet) => {
      const { bytes, start } = packet
      if (packet.gsoEcn) {
        marked++
        expect(packet.gsoType).to.equal(Gso.TCPV4)
        expect(bytes[packet.checksumStart + 13]! & 0x80, 'CWR').to.equal(0x80)
      }
      // Congestion is experienced now and then.
      if (packet.gsoSize > 0 && (bytes[start + 1]! & 3) === 2 && ++data % 20 === 0) {
        const before = (bytes[start]! << 8) | bytes[start + 1]!
        const check = (bytes[start + 10]! << 8) | bytes[start + 11]!
        bytes[start + 1]! |= 3
        const after = updateChecksum16(check, before, before | 3)
        bytes[start + 10] = after >>> 8
        bytes[start + 11] = after
      }
    })
    const server = await echoServer(other)
    await exchange(8 << 20)
    expect(marked, 'super-segments with CWR').to.be.above(0)
    expect(here.stats.get('txErrors') + there.stats.get('txErrors')).to.equal(0)
    server.kill()
    await Promise.all([here.close(), there.close()])
    other.end()
  },

  async 'offload: UDP super-segments both ways'() {
    const other = await new OtherNamespace().ready()
    const { here, there } = await wire(other)
    const server = other.node(`
      import { createSocket } from 'node:dgram'
      const socket = createSocket('udp4')
      const lengths = []
      socket.on('message', (message, from) => {
        lengths.push(message.length)
        if (lengths.length === 31) socket.send(JSON.stringify(lengths), from.port, from.address)
      })
      socket.bind(${PORT}, () => console.log('ready'))`)
    await once(server.stdout!, 'data')
    const socket = await kernelSocket(PORT)
    segment(socket, 1000)
    socket.send(new Uint8Array(30_500), PORT, STACK)
    const [answer] = (await once(socket, 'message')) as [Buffer]
    expect(JSON.parse(answer.toString())).to.deep.equal([...new Array<number>(30).fill(1000), 500])
    expect(here.io.rxSuperSegments).to.equal(1)
    expect(there.io.txSuperSegments).to.equal(1)
    expect(there.stats.get('txPackets')).to.equal(here.stats.get('rxPackets'))
    socket.close()
    server.kill()
    await Promise.all([here.close(), there.close()])
    other.end()
  },

  async 'offload: as much as is asked for'() {
    const wanted: [Parameters<typeof openTun>[0], number[], Checksum][] = [
      [{ offload: true }, [2528], Checksum.PARTIAL],
      [{ offload: { uso: false } }, [1028, 1028, 528], Checksum.PARTIAL],
      [{ offload: { tso: false, uso: false } }, [1028, 1028, 528], Checksum.PARTIAL],
      [{ offload: false }, [1028, 1028, 528], Checksum.NONE],
    ]
    for (const [options, lengths, state] of wanted) {
      const tun = await openTun({ address: `${KERNEL}/24`, ...options })
      const seen: number[] = []
      attach(tun, (packet) => {
        if (isUdp(packet)) {
          seen.push(packet.length)
          expect(packet.checksum).to.equal(state)
          expect(udpChecksumHolds(packet), 'the checksum is there').to.equal(state === Checksum.NONE)
        }
        packet.free()
      })
      const socket = await kernelSocket(PORT)
      segment(socket, 1000)
      socket.send(new Uint8Array(2500), PORT, STACK)
      await until(() => seen.length >= lengths.length, `${lengths.length} packets have come`)
      expect(seen, JSON.stringify(options)).to.deep.equal(lengths)
      socket.close()
      await tun.close()
    }
  },

  async 'offload: what is sent with a header that lies is refused, and the rest goes'() {
    const tun = await openTun({ address: `${KERNEL}/24` })
    const { pool } = attach(tun, (packet) => packet.free())
    const socket = await kernelSocket(PORT)
    const seen: number[] = []
    socket.on('message', (message) => seen.push(message[0]!))
    const packet = (n: number, fields: Partial<Packet> = {}): Packet => {
      const made = pool.from(udpPacket(PORT, new Uint8Array(3000).fill(n)))!
      const { bytes, start } = made
      const pseudo = fold(pseudoHeaderSum(0x0a090002, 0x0a090001, 17, made.length - 20))
      bytes[start + 26] = pseudo >>> 8
      bytes[start + 27] = pseudo
      made.checksum = Checksum.PARTIAL
      made.checksumStart = start + 20
      made.checksumOffset = 6
      return Object.assign(made, fields)
    }
    const burst = new Burst()
    burst.push(packet(1))
    burst.push(packet(2, { gsoType: Gso.TCPV4, gsoSize: 1000 }))
    burst.push(packet(3, { gsoType: Gso.UDP_L4, gsoSize: 1000, gsoSegments: 3 }))
    burst.push(packet(4, { checksumStart: 3_000_000 }))
    burst.push(packet(5, { checksumOffset: 5000 }))
    burst.push(packet(6))
    expect(tun.transmit(burst)).to.equal(6)
    burst.clear()
    await until(() => seen.length >= 5, 'the good ones have come')
    expect(seen).to.deep.equal([1, 3, 3, 3, 6])
    expect(tun.stats.snapshot()).to.include({ txPackets: 3, txErrors: 3 })
    expect(tun.refusal?.code).to.equal('EINVAL')
    socket.close()
    await tun.close()
    expect(pool.outstanding).to.equal(0)
  },

  async 'offload: a persistent interface does not keep them'() {
    const first = await openTun({ name: 'keep0', persist: true, address: `${KERNEL}/24` })
    await first.close()
    const tun = await openTun({ name: 'keep0', persist: false, offload: false })
    const lengths: number[] = []
    attach(tun, (packet) => {
      if (isUdp(packet) && udpChecksumHolds(packet)) lengths.push(packet.length)
      packet.free()
    })
    const socket = await kernelSocket(PORT)
    segment(socket, 1000)
    socket.send(new Uint8Array(2500), PORT, STACK)
    await until(() => lengths.length >= 3, 'it has come in pieces')
    expect(lengths).to.deep.equal([1028, 1028, 528])
    socket.close()
    await tun.close()
  },

  async 'offload: bursts of large and small packets, more than there are large slabs'() {
    const tun = await openTun({ address: `${KERNEL}/24` })
    const seen: number[] = []
    const { pool } = attach(tun, (packet) => {
      if (isUdp(packet)) {
        const { bytes, start, end } = packet
        for (let i = start + 28; i < end; i++) if (bytes[i] !== bytes[end - 1]) throw new Error('torn')
        seen.push(packet.length)
      }
      packet.free()
    })
    const socket = await kernelSocket(PORT)
    tun.pause()
    const expected: number[] = []
    for (let n = 0; n < 100; n++) {
      const large = n % 3 !== 0
      const length = large ? 20_000 + n : 100 + n
      segment(socket, large ? 1000 : 0)
      await new Promise((sent) => socket.send(new Uint8Array(length).fill(n), PORT, STACK, sent))
      expected.push(28 + length)
    }
    tun.resume()
    await until(() => seen.length >= 100, 'all have come')
    expect(seen).to.deep.equal(expected)
    expect(tun.io.rxLargestBurst).to.be.within(10, 13)
    socket.close()
    await tun.close()
    expect(pool.outstanding).to.equal(0)
    // Slots for 64 small packets, and two arenas of large slabs: one is armed while the other is handed up.
    expect(pool.reserved).to.be.below(1.5 * (1 << 20))
  },

  async 'offload: headers that the kernel refuses are refused here'() {
    const driver = loadDriver(DRIVER)
    const handle = driver.open({ devicePath: '/dev/net/tun', name: 'tun0', vnetHeader: true })
    if ('errno' in handle) throw new Error(`${handle.syscall}: ${handle.errno}`)
    ip('addr', 'add', `${KERNEL}/24`, 'dev', 'tun0')
    ip('link', 'set', 'tun0', 'up')
    const random = seededRandom(Number(process.env['VNET_ORACLE_SEED'] ?? 1))
    const pick = <T>(...values: T[]): T => values[random(values.length)]!
    const pool = new PacketPool()
    const headers = new VirtioHeaders(1)
    const words = new Uint16Array(headers.bytes.buffer)
    const status = new Int32Array(1)
    const seen = { both: 0, neither: 0 }
    const stricter = new Set<string>()
    for (let n = 0; n < 20_000; n++) {
      const tcp = random(2) === 0
      const payload = pick(0, 1, 100, 1500, 3000)
      const bytes = udpPacket(PORT, new Uint8Array((tcp ? 12 : 0) + payload))
      bytes[9] = pick(tcp ? 6 : 17, tcp ? 6 : 17, tcp ? 6 : 17, 1)
      if (tcp) bytes[32] = pick(0x50, 0x50, 0x80, 0xf0, 0x00)
      const length = bytes.length
      headers.bytes[0] = pick(0, 1, 1, 1, 2)
      headers.bytes[1] = pick(0, 1, 1, 1, 5, 5, 5, 0x81, 0x85, 4, 3, 2, 77)
      words[1] = pick(0, tcp ? 40 : 28, tcp ? 40 : 28, length, length + 1, 65_535)
      // Not so small that there would be more than 128 datagrams: that is a limit of the kernel's own.
      words[2] = pick(0, 30, 500, 1400, 65_535)
      words[3] = pick(20, 20, 20, 0, 10, 24, length - 2, length, 65_535)
      words[4] = pick(tcp ? 16 : 6, tcp ? 16 : 6, tcp ? 16 : 6, 0, length, 65_535)
      const packet = pool.from(bytes)!
      const arena = driver.registerArena(packet.bytes.buffer)
      handle.writeBatch(Uint32Array.of(arena, packet.start, length), headers.bytes, null, 1, status)
      const taken = headers.read(0, packet)
      packet.free()
      const [type, flags] = [headers.bytes[1]!, headers.bytes[0]!]
      const what = `flags ${flags} type ${type} hdr_len ${words[1]} gso_size ${words[2]} csum ${words[3]}+${words[4]} of ${tcp ? 'TCP' : 'UDP'} ${length}`
      if (taken && status[0]! < 0) throw new Error(`errno ${status[0]}, but taken here: ${what}`)
      if (taken) seen.both++
      else if (status[0]! < 0) seen.neither++
      else stricter.add(`${type === 0 ? 'checksum' : 'gso'} ${flags}`)
    }
    expect(seen.both).to.be.above(500)
    expect(seen.neither).to.be.above(500)
    // Where only a checksum is left open, the same are taken; super-segments have to be whole.
    expect([...stricter.keys()].sort()).to.deep.equal(['gso 0', 'gso 1', 'gso 2'])
    handle.close()
  },
}
