/** UDP between the stack and programs of the kernel's: nc, socat, and sockets of Node. */
import { expect } from 'chai'
import { formatIpv4Packet } from '../../../lib/index.ts'
import { type Namespace, useTestbed } from '../netns.ts'
import { StackProcess } from '../tools/stack-process.ts'

const ECHO = 7
const ADDRESS = '10.9.0.2'

describe('UDP with nc and socat', function () {
  this.timeout(30_000)
  const bed = useTestbed({ lasting: true })
  let host: Namespace
  let stack: StackProcess

  before(async () => {
    host = bed.namespace('host')
    stack = await StackProcess.start(host, {
      tuns: [{ name: 'tun0', kernel: '10.9.0.1/24', address: `${ADDRESS}/24` }],
      udpEcho: ECHO,
    })
  })

  it('nc: what is typed comes back', async () => {
    const { stdout } = await host.run(`nc -u -w 1 ${ADDRESS} ${ECHO}`, { input: 'hello\n' })
    expect(stdout).to.equal('hello\n')
  })

  it('nc -z: an open port is told from a closed one by Port Unreachable', async () => {
    const open = await host.run(`nc -u -z -v ${ADDRESS} ${ECHO}`)
    const closed = await host.run(`nc -u -z -v ${ADDRESS} 8`)
    expect([open.status, closed.status]).to.deep.equal([0, 1])
  })

  for (const size of [1, 1472, 1473, 9000, 65507]) {
    it(`socat: ${size} bytes there and back`, async () => {
      const input = `${'x'.repeat(size - 1)}\n`
      const command = ['socat', '-b', '65507', '-t', '0.3', '-', `UDP:${ADDRESS}:${ECHO}`]
      const { stdout, stderr } = await host.run(command, { input })
      expect(stdout.length, stderr).to.equal(size)
      expect(stdout === input).to.equal(true)
    })
  }

  it('socat to the broadcast address: answered from the stack’s own', async () => {
    const capture = await host.capture('tun0', 'udp')
    await host.run(['socat', '-t', '0.3', '-', `UDP-DATAGRAM:10.9.0.255:${ECHO},broadcast`], {
      input: 'all\n',
    })
    const packets = (await capture.stop()).map((bytes) => formatIpv4Packet(bytes, 0, bytes.length))
    expect(packets.join('\n')).to.match(/10\.9\.0\.1\.\d+ > 10\.9\.0\.255\.7: UDP, length 4/)
    expect(packets.join('\n')).to.match(/10\.9\.0\.2\.7 > 10\.9\.0\.1\.\d+: UDP, length 4/)
  })

  it('a group: the kernel sends, the stack has joined', async () => {
    const socket = await stack.call('udpBind', { port: 6000 })
    await stack.call('udpJoin', socket, '224.5.5.5', 'tun0')
    const receiving = stack.call('udpReceive', socket)
    const target = 'UDP4-DATAGRAM:224.5.5.5:6000,ip-multicast-if=10.9.0.1'
    await host.run(['socat', '-t', '0.2', '-', target], { input: 'group\n' })
    const { hex, to, ttl, address } = await receiving
    expect({ text: Buffer.from(hex, 'hex').toString(), to, ttl, address }).to.deep.equal({
      text: 'group\n',
      to: '224.5.5.5',
      ttl: 1,
      address: '10.9.0.1',
    })
  })

  it('a group: the stack sends, a program of the kernel’s has joined', async () => {
    const membership = 'ip-add-membership=224.6.6.6:10.9.0.1'
    const program = await host.start([
      'socat',
      '-u',
      '-b',
      '2000',
      `UDP4-RECVFROM:6001,${membership}`,
      'SYSTEM:wc -c',
    ])
    const socket = await stack.call('udpBind', { multicastDevice: 'tun0', multicastTtl: 4 })
    // it is there once it has joined
    for (let tries = 0; !host.ip('maddr show dev tun0').includes('224.6.6.6'); tries++) {
      expect(tries).to.be.lessThan(500)
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
    await stack.call('udpSend', socket, 1234, { address: '224.6.6.6', port: 6001 })
    const [, count] = await program.waitFor(/(\d+)/, 5000)
    expect(count).to.equal('1234')
  })

  it('a closed port of the kernel’s: ECONNREFUSED on the next call, and the socket stays usable', async () => {
    const socket = await stack.call('udpBind', {}, { address: '10.9.0.1', port: 9 })
    for (let round = 0; round < 2; round++) {
      await stack.call('udpSend', socket, 5)
      const error = await stack.call('udpReceive', socket).then(
        () => expect.fail('it received something'),
        ({ code }: { code: string }) => code,
      )
      expect(error).to.equal('ECONNREFUSED')
    }
  })

  it('segments of one call arrive as datagrams, whoever cuts them', async () => {
    await host.start(['socat', '-u', 'UDP-RECV:6002', 'OPEN:/dev/null'])
    const isBound = async (): Promise<boolean> =>
      (await host.run(['ss', '-Hlun', 'sport = :6002'])).stdout.includes(':6002')
    for (let tries = 0; !(await isBound()); tries++) expect(tries).to.be.lessThan(200)
    const received = (): number => host.nstat()['UdpInDatagrams'] ?? 0
    const before = received()
    const socket = await stack.call('udpBind', {})
    await stack.call('udpSend', socket, 3000, { address: '10.9.0.1', port: 6002 }, { segmentSize: 1000 })
    for (let tries = 0; received() < before + 3; tries++) expect(tries).to.be.lessThan(200)
    expect(received()).to.equal(before + 3)
  })
})
