/**
 * Wireshark's own tools read what the stack captures, without complaint. Needs `tshark` and `capinfos` (Debian's
 * package `tshark`), and no privileges.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { Loopback } from '../../lib/device/loopback.ts'
import { NetDevice } from '../../lib/device/net-device.ts'
import { createPipe } from '../../lib/device/pipe.ts'
import { type Capture, Captures } from '../../lib/observe/capture.ts'
import { Checksum, type Packet } from '../../lib/packet/packet.ts'
import { PacketPool } from '../../lib/packet/packet-pool.ts'
import { VirtualClock } from '../../lib/time/virtual-clock.ts'
import { checksum, fold, pseudoHeaderSum } from '../../lib/wire/checksum.ts'
import { DropReason } from '../../lib/wire/drop-reason.ts'
import { ByteCollector } from '../observe/pcapng-reader.ts'

const SOURCE = 0x0a090001
const DESTINATION = 0x0a090002

function ipv4(protocol: number, payload: Uint8Array): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(20 + payload.length)
  const view = new DataView(bytes.buffer)
  bytes.set([0x45, 0, 0, 0, 0, 1, 0x40, 0, 64, protocol])
  view.setUint16(2, bytes.length)
  view.setInt32(12, SOURCE)
  view.setInt32(16, DESTINATION)
  view.setUint16(10, checksum(bytes, 0, 20))
  bytes.set(payload, 20)
  return bytes
}

function echo(sequence: number, length = 56): Uint8Array<ArrayBuffer> {
  const icmp = new Uint8Array(8 + length)
  icmp.set([8, 0, 0, 0, 0x12, 0x34, 0, sequence])
  new DataView(icmp.buffer).setUint16(2, checksum(icmp, 0, icmp.length))
  return ipv4(1, icmp)
}

/** UDP whose checksum field holds the sum of the pseudo-header alone. */
function partialUdp(pool: PacketPool): Packet {
  const udp = Uint8Array.of(0x30, 0x39, 0x30, 0x3a, 0, 11, 0, 0, 1, 2, 3)
  new DataView(udp.buffer).setUint16(6, fold(pseudoHeaderSum(SOURCE, DESTINATION, 17, udp.length)))
  const packet = pool.from(ipv4(17, udp))!
  packet.checksum = Checksum.PARTIAL
  packet.checksumStart = packet.start + 20
  packet.checksumOffset = 6
  return packet
}

describe('captures as Wireshark reads them', function () {
  this.timeout(60_000) // the first tshark of a machine takes its time

  const folder = mkdtempSync(join(tmpdir(), 'tunstack-pcapng-'))
  const owner = { transmitPending: () => {}, drop: (packet: Packet) => packet.free() }
  let clock: VirtualClock
  let pool: PacketPool
  let captures: Captures
  let lo: NetDevice
  let tun: NetDevice

  before(() => {
    for (const program of ['tshark', 'capinfos']) {
      if (spawnSync(program, ['--version']).error !== undefined) {
        throw new Error(`${program} is missing: apt-get install tshark`)
      }
    }
  })

  after(() => rmSync(folder, { recursive: true }))

  beforeEach(() => {
    clock = new VirtualClock(1_700_000_000_000_000_000n)
    pool = new PacketPool()
    captures = new Captures(clock)
    lo = new NetDevice(new Loopback(), 1, 'lo', owner)
    tun = new NetDevice(createPipe()[0], 2, 'tün0', owner)
  })

  function cross(device: NetDevice, outgoing: boolean, packet: Packet): void {
    for (const tap of device.taps) tap(packet, device, outgoing)
    packet.free()
  }

  /** Ends the capture and gives the file that holds it. */
  function save(file: ByteCollector, capture: Capture): string {
    capture.close()
    expect(capture.error).to.equal(undefined)
    const path = join(folder, 'capture.pcapng')
    writeFileSync(path, file.bytes)
    return path
  }

  /** Each line's fields; fails if tshark says anything but them. */
  function tshark(path: string, options: string[], ...fields: string[]): string[][] {
    const selection = fields.flatMap((field) => ['-e', field])
    const { stdout, stderr, status } = spawnSync(
      'tshark',
      ['-r', path, '-n', ...options, '-T', 'fields', '-E', 'separator=|', ...selection],
      { encoding: 'utf8', env: { ...process.env, LC_ALL: 'C.UTF-8' } },
    )
    expect(stderr.replace(/^Running as user "root".*\n/, '')).to.equal('')
    expect(status).to.equal(0)
    return stdout
      .trimEnd()
      .split('\n')
      .map((line) => line.split('|'))
  }

  it('names, directions, reasons and nanoseconds are there', () => {
    const file = new ByteCollector()
    const capture = captures.start({ sink: file.sink, drops: true }, [lo, tun])
    cross(lo, false, pool.from(echo(1))!)
    clock.advance(1_000_000_001)
    cross(tun, true, pool.from(echo(2, 57))!)
    clock.advance(1)
    cross(tun, false, pool.from(echo(3))!)
    const lost = pool.from(echo(4))!
    lost.iif = 2
    captures.dropped(lost, DropReason.IP_RPFILTER, tun)
    captures.dropped(lost, DropReason.IP_OUTNOROUTES, null)
    lost.free()
    const path = save(file, capture)
    const fields = [
      'frame.interface_name',
      'frame.time_epoch',
      'frame.packet_flags_direction',
      'frame.comment',
      'icmp.seq',
    ]
    const lines = tshark(path, [], ...fields, '_ws.malformed')
    // Versions of tshark write the direction as 1 or as 0x00000001.
    for (const line of lines) line[2] = String(Number(line[2]))
    expect(lines).to.deep.equal([
      ['lo', '1700000000.000000000', '1', '', '1', ''],
      ['tün0', '1700000001.000000001', '2', '', '2', ''],
      ['tün0', '1700000001.000000002', '1', '', '3', ''],
      ['tün0', '1700000001.000000002', '1', 'dropped: IP_RPFILTER', '4', ''],
      ['none', '1700000001.000000002', '1', 'dropped: IP_OUTNOROUTES', '4', ''],
    ])
  })

  it('capinfos finds what was counted', () => {
    const file = new ByteCollector()
    const capture = captures.start({ sink: file.sink, filter: ({ bytes }) => bytes[27] !== 2 }, [lo, tun])
    for (let i = 0; i < 3; i++) {
      cross(lo, false, pool.from(echo(i))!)
      cross(tun, true, pool.from(echo(i))!)
    }
    const path = save(file, capture)
    const text = execFileSync('capinfos', [path], { encoding: 'utf8' })
    expect(text).to.match(/^File type: +Wireshark\/\.\.\. - pcapng$/m)
    expect(text).to.match(/^File encapsulation: +Raw IP$/m)
    expect(text).to.match(/^File timestamp precision: +nanoseconds \(9\)$/m)
    expect(text).to.match(/^Number of packets: +4$/m)
    expect(text).to.match(/^Data size: +336 bytes$/m)
    expect(text).to.match(/^Capture application: +tunstack$/m)
    expect(text).to.match(/^Number of interfaces in file: +2$/m)
    expect(text.match(/Name = .*/g)).to.deep.equal(['Name = lo', 'Name = tün0'])
    expect(text.match(/Number of stat entries = .*/g)).to.deep.equal(
      Array(2).fill('Number of stat entries = 1'),
    )
    expect(text.match(/Number of packets = .*/g)).to.deep.equal([
      'Number of packets = 2',
      'Number of packets = 2',
    ])
  })

  it('cut packets keep their length', () => {
    const file = new ByteCollector()
    const capture = captures.start({ sink: file.sink, snaplen: 50 }, [tun])
    cross(tun, true, pool.from(echo(1, 1000))!)
    expect(tshark(save(file, capture), [], 'frame.cap_len', 'frame.len', 'ip.len')).to.deep.equal([
      ['50', '1028', '1028'],
    ])
  })

  for (const [completeChecksums, status] of [
    [false, '0'],
    [true, '1'],
  ] as const) {
    it(`a partial checksum is ${completeChecksums ? 'completed' : 'shown as it is'}`, () => {
      const file = new ByteCollector()
      const capture = captures.start({ sink: file.sink, completeChecksums }, [tun])
      cross(tun, true, partialUdp(pool))
      const check = ['-o', 'udp.check_checksum:TRUE', '-o', 'ip.check_checksum:TRUE']
      const fields = ['udp.checksum.status', 'ip.checksum.status', 'udp.length']
      expect(tshark(save(file, capture), check, ...fields)).to.deep.equal([[status, '1', '11']])
    })
  }
})
