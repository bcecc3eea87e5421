/** What a stack says of its traffic, held against what tcpdump, tshark and the kernel saw of it. */
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { pcapPackets } from '../harness/capture.ts'
import { type Namespace, useTestbed } from '../netns.ts'
import type { WatchedPacket } from './stack-config.ts'
import { StackProcess } from './stack-process.ts'

describe('what a stack shows', function () {
  this.timeout(60_000) // the first tshark of a machine takes its time
  const bed = useTestbed({ lasting: true })
  const folder = mkdtempSync(join(tmpdir(), 'tunstack-observe-'))
  let host: Namespace
  let stack: StackProcess

  before(async () => {
    host = bed.namespace('host')
    stack = await StackProcess.start(host, {
      tuns: [
        { name: 'tun0', kernel: '10.1.0.2/24', address: '10.1.0.1/24' },
        { name: 'tun1', kernel: '10.2.0.2/24', address: '10.2.0.1/24', mtu: 1280 },
      ],
      lo: ['10.0.3.110/24'],
      routes: [
        '10.2.9.0/24 via 10.2.0.2 dev tun1',
        'unreachable 10.5.0.0/24',
        'prohibit 10.6.0.0/24',
        'blackhole 10.7.0.0/24',
      ],
      sysctl: { 'net.ipv4.ip_forward': 1, 'net.ipv4.icmp_ratelimit': 0, 'net.ipv4.conf.all.rp_filter': 1 },
    })
    // To addresses behind the stack, of which the kernel knows only the way.
    for (const net of [
      '10.0.3.0/24',
      '10.5.0.0/16',
      '10.6.0.0/16',
      '10.7.0.0/16',
      '10.8.0.0/16',
      '10.2.9.0/24',
    ]) {
      host.ip(`route add ${net} via 10.1.0.1`)
    }
  })

  after(() => rmSync(folder, { recursive: true }))

  const TRAFFIC = [
    'ping -c 3 -i 0.02 10.0.3.9',
    'ping -c 1 -s 65507 10.0.3.9',
    'ping -c 1 -R 10.0.3.9',
    'ping -c 1 -T tsandaddr 10.0.3.9',
    'traceroute -n -q 1 -N 1 -w 1 10.0.3.9',
    'ping -c 1 -W 0.2 10.5.0.1',
    'ping -c 1 -W 0.2 -t 1 10.0.3.9',
  ]

  it('its pcapng is read by tshark and capinfos without complaint, and holds what tcpdump saw', async () => {
    const file = join(folder, 'stack.pcapng')
    const tcpdump = await host.capture('tun0')
    await stack.call('capture', file)
    for (const command of TRAFFIC) await host.run(command)
    await stack.call('ping', '10.0.3.4', { count: 2, interval: 10 })
    await stack.call('ping', '10.1.0.2', { count: 2, interval: 10, size: 4000 })
    const seen = await tcpdump.stop()
    const captured = await stack.call('endCapture')

    const check = ['-o', 'ip.check_checksum:TRUE', '-o', 'udp.check_checksum:TRUE']
    const tshark = (...args: string[]): string => {
      const options = { encoding: 'utf8', maxBuffer: 1 << 26 } as const
      const { stdout, stderr, status } = spawnSync('tshark', ['-r', file, '-n', ...check, ...args], options)
      expect(stderr.replace(/^Running as user "root".*\n/, '')).to.equal('')
      expect(status).to.equal(0)
      return stdout
    }
    const wrong = '_ws.malformed || ip.checksum.status == "Bad" || icmp.checksum.status == "Bad"'
    // What an ICMP error quotes is cut, of course.
    expect(tshark('-Y', `(${wrong}) && !(icmp.type == 3 || icmp.type == 11)`)).to.equal('')
    expect(tshark('-T', 'fields', '-e', 'frame.number').trim().split('\n')).to.have.length(captured)

    const info = execFileSync('capinfos', [file], { encoding: 'utf8' })
    expect(info).to.match(/^File type: +Wireshark\/\.\.\. - pcapng$/m)
    expect(Number(/^Number of packets: +(\d+)/m.exec(info)![1])).to.equal(captured)

    const tun0 = join(folder, 'tun0.pcap')
    // The record of a drop repeats the packet.
    tshark('-Y', 'frame.interface_name == "tun0" && !frame.comment', '-F', 'pcap', '-w', tun0)
    const hex = (packet: Uint8Array): string => Buffer.from(packet).toString('hex')
    expect(pcapPackets(readFileSync(tun0)).map(hex).sort()).to.deep.equal(seen.map(hex).sort())
    expect(seen.length).to.be.greaterThan(100)

    const dropped = tshark('-Y', 'frame.comment', '-T', 'fields', '-e', 'frame.comment').trim().split('\n')
    expect(dropped).to.include('dropped: IP_INNOROUTES').and.include('dropped: NO_SOCKET')
  })

  it('explain says beforehand what becomes of each packet', async () => {
    await stack.call('watch')
    for (const command of [
      'ping -c 2 -i 0.02 10.0.3.9',
      'ping -c 1 -s 3000 10.0.3.9',
      'ping -c 1 -W 0.1 10.5.0.1',
      'ping -c 1 -W 0.1 10.6.0.1',
      'ping -c 1 -W 0.1 10.7.0.1',
      'ping -c 1 -W 0.1 10.8.0.1',
      'ping -c 1 -W 0.1 10.2.9.1', // on to tun1, where the kernel drops it
      'ping -c 1 -W 0.1 -t 1 10.2.9.1',
      'ping -c 1 -W 0.1 -t 1 10.0.3.9',
      'ping -c 1 -W 0.1 -M do -s 1400 10.2.9.1',
      'ping -c 1 -W 0.1 -M dont -s 1400 10.2.9.1',
      'ping -c 1 -W 0.1 -I tun1 10.1.0.1', // from 10.2.0.2, which is right there
      'ping -c 1 -W 0.1 -I tun1 10.0.3.9',
      'ping -c 1 -W 0.1 -I 10.1.0.2 10.2.0.1', // by tun1, from tun0’s address
    ]) {
      await host.run(command)
    }
    const packets = await stack.call('watched')
    const verdicts = new Map<string, number>()
    for (const [i, packet] of packets.entries()) {
      const { explained } = packet
      if (explained === undefined) continue
      const became = fate(packets, i)
      expect(`${explained.verdict} ${became}`, `${explained.text}${packet.bytes}`).to.be.oneOf([
        'deliver delivered',
        'forward forwarded',
        `drop ${explained.counter}`,
      ])
      const what = explained.verdict === 'drop' ? explained.counter : explained.verdict
      verdicts.set(what, (verdicts.get(what) ?? 0) + 1)
    }
    expect(Object.fromEntries(verdicts)).to.deep.equal({
      deliver: 8,
      forward: 3, // of the last there are two fragments: the kernel has learnt the path MTU
      IP_INNOROUTES: 3,
      IP_INADDRERRORS: 1,
      IP_TTL: 1,
      PKT_TOO_BIG: 1,
      IP_RPFILTER: 1,
    })
  })
})

/**
 * What became of packet `i`, which came in: the reason of its drop, `forwarded` if another one with its payload left
 * by the other device, else `delivered`.
 */
function fate(packets: readonly WatchedPacket[], i: number): string {
  const { bytes, device } = packets[i]!
  const later = packets.slice(i + 1)
  const drop = later.find((one) => one.dropReason !== undefined && one.bytes === bytes)
  if (drop !== undefined) return drop.dropReason!
  const payload = bytes.slice(40, 40 + 64)
  const forwarded = later.some(
    (one) => one.direction === 'out' && one.device !== device && one.bytes.slice(40).startsWith(payload),
  )
  return forwarded ? 'forwarded' : 'delivered'
}
