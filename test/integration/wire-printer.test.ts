import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { formatIpv4Packet } from '../../lib/wire/ipv4.ts'
import { samples } from '../wire/samples.ts'
import { fromHex } from '../wire/surroundings.ts'

/** `LINKTYPE_RAW`: each packet begins with its IP header. */
const LINKTYPE_RAW = 101

function pcap(packets: readonly Uint8Array[]): Uint8Array {
  const size = packets.reduce((sum, packet) => sum + 16 + packet.length, 24)
  const bytes = new Uint8Array(size)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, 0xa1b2c3d4)
  view.setUint16(4, 2)
  view.setUint16(6, 4)
  view.setUint32(16, 65535)
  view.setUint32(20, LINKTYPE_RAW)
  let at = 24
  for (const packet of packets) {
    view.setUint32(at + 8, packet.length)
    view.setUint32(at + 12, packet.length)
    bytes.set(packet, at + 16)
    at += 16 + packet.length
  }
  return bytes
}

describe('wire printer beside tcpdump', () => {
  it('prints the same lines', () => {
    const folder = mkdtempSync(join(tmpdir(), 'tunstack-printer-'))
    try {
      const packets = samples.map(([, hex]) => fromHex(hex))
      const file = join(folder, 'samples.pcap')
      writeFileSync(file, pcap(packets))
      const { stdout, stderr, status } = spawnSync('tcpdump', ['-n', '-S', '-t', '-r', file], {
        encoding: 'utf8',
      })
      expect(status, stderr).to.equal(0)
      const lines = packets.map((packet) => formatIpv4Packet(packet, 0, packet.length))
      expect(lines).to.deep.equal(stdout.trimEnd().split('\n'))
    } finally {
      rmSync(folder, { recursive: true })
    }
  })
})
