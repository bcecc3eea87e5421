/** `tunstack gateway`: a namespace without a network of its own reaches another one through sockets of a third. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { type Namespace, type Process, useTestbed } from './netns.ts'

const HOST = '198.51.100.1'
const OUTSIDE = '198.51.100.2'
const OWN = '10.0.2.2'
const GUEST = '10.0.2.100'

/** A web server, an echo of datagrams and a DNS server. */
const SERVERS = `
import { createSocket } from 'node:dgram'
import http from 'node:http'
import { decode, encode } from 'dns-packet'
const data = Buffer.alloc(4 << 20, 'The quick brown fox jumps over the lazy dog. ')
http.createServer(({ url, socket }, response) => response.end(url === '/big' ? data : url + ' from ' + socket.remoteAddress)).listen(80, '${OUTSIDE}')
const echo = createSocket('udp4', (bytes, { port, address }) => echo.send(bytes, port, address)).bind(7, '${OUTSIDE}')
const dns = createSocket('udp4', (bytes, { port, address }) => {
  const { id, questions } = decode(bytes)
  const answers = questions[0].type === 'A' ? [{ type: 'A', name: questions[0].name, ttl: 9, data: '${OUTSIDE}' }] : []
  dns.send(encode({ type: 'response', id, flags: 0x180, questions, answers }), port, address)
}).bind(53, '${OUTSIDE}', () => console.log('ready'))
`

const node = (text: string): string[] => [
  process.execPath,
  '--import',
  'tsx',
  '--input-type=module',
  '--eval',
  text,
]

describe('tunstack gateway', function () {
  this.timeout(60_000)
  this.slow(20_000)
  const bed = useTestbed()
  let folder: string
  let guest: Namespace
  let host: Namespace
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'tunstack-gateway-'))
  })
  after(() => rmSync(folder, { recursive: true }))

  async function start(...options: string[]): Promise<Process> {
    guest = bed.namespace('guest')
    host = bed.namespace('host')
    const outside = bed.namespace('outside')
    bed.veth(
      { namespace: host, device: 'veth0', address: `${HOST}/24` },
      { namespace: outside, device: 'veth0', address: `${OUTSIDE}/24` },
    )
    host.sysctl('net.ipv4.ping_group_range', '0 2147483647')
    await outside.start(node(SERVERS), { ready: /ready/ })
    const command = [process.execPath, '--import', 'tsx', 'lib/cli/tunstack.ts', 'gateway']
    return await host.start([...command, '--netns', guest.name, '--dns', OUTSIDE, ...options], {
      ready: /ready/,
    })
  }

  const output = async (where: Namespace, command: string | string[]): Promise<string> =>
    (await where.run(command)).stdout

  it('curl, ping, datagrams and names of a guest; a port of the host; what crosses it as pcapng', async () => {
    const pcap = join(folder, 'guest.pcapng')
    const gateway = await start('--forward', '8080:80', '--pcap', pcap)
    // The namespace has got what it needs.
    expect(guest.ip('route show default')).to.equal(`default via ${OWN} dev tun0 \n`)
    expect(await output(guest, `curl -s http://${OUTSIDE}/a`)).to.equal(`/a from ${HOST}`)
    const sum = await output(guest, ['sh', '-c', `curl -s http://${OUTSIDE}/big | md5sum`])
    const expected = await output(host, ['sh', '-c', `curl -s http://${OUTSIDE}/big | md5sum`])
    expect(sum).to.equal(expected)
    expect(await output(guest, `ping -c 3 -i 0.1 -s 2000 ${OUTSIDE}`)).to.match(
      /3 packets transmitted, 3 received, 0% packet loss/,
    )
    const near = await guest.run(`ping -c 1 -t 1 -W 2 ${OUTSIDE}`)
    expect(near.stdout).to.include(`From ${OWN} icmp_seq=1 Time to live exceeded`)
    expect(await output(guest, ['sh', '-c', `echo hello | socat -t 2 - UDP:${OUTSIDE}:7`])).to.equal(
      'hello\n',
    )
    const resolve = `import dns from 'node:dns'; dns.setServers(['${OWN}']); console.log(...(await dns.promises.resolve4('web.test')))`
    expect(await output(guest, node(resolve))).to.equal(`${OUTSIDE}\n`)
    // Refused by the other side, and by nobody there: what the host sees is what the guest sees.
    expect((await guest.run(`curl -s http://${OUTSIDE}:81/`)).status).to.equal(7)
    const serve = `import http from 'node:http'; http.createServer((q, r) => r.end('guest, for ' + q.socket.remoteAddress)).listen(80, '${GUEST}', () => console.log('ready'))`
    await guest.start(node(serve), { ready: /ready/ })
    expect(await output(host, 'curl -s http://127.0.0.1:8080/')).to.equal(`guest, for ${OWN}`)
    expect((await gateway.stop('SIGTERM')).status).to.equal(0)
    const packets = await output(host, `tcpdump -nr ${pcap} icmp`)
    expect(packets).to.match(/10\.0\.2\.100 > 198\.51\.100\.2: ICMP echo request/)
    expect(readFileSync(pcap).length).to.be.above(4 << 20)
  })

  it('rules decide by address, port and name; the host’s loopback is closed', async () => {
    await start('--deny', 'bad.test', '--deny', `${OUTSIDE}:81-99`, '--allow', `${OUTSIDE}/32`, '--deny', '*')
    await host.start(
      node(
        `import net from 'node:net'; net.createServer((s) => s.end('local')).listen(9000, '127.0.0.1', () => console.log('ready'))`,
      ),
      { ready: /ready/ },
    )
    const status = async (command: string): Promise<number | null> => (await guest.run(command)).status
    expect(await status(`curl -s http://${OUTSIDE}/`)).to.equal(0)
    expect(await status(`curl -s http://${OUTSIDE}:85/`)).to.equal(7)
    expect(await status(`curl -s http://${HOST}/`)).to.equal(7)
    expect(await status(`curl -s http://${OWN}:9000/`)).to.equal(7)
    const resolve = (name: string): string =>
      `import dns from 'node:dns'; dns.setServers(['${OWN}']); console.log(...(await dns.promises.resolve4('${name}')))`
    await guest.run(node(resolve('bad.test')))
    expect(await status(`curl -s http://${OUTSIDE}/`)).to.equal(7)
  })

  it('says what is wrong', async () => {
    host = bed.namespace('host')
    const run = (...args: string[]) =>
      host.run([process.execPath, '--import', 'tsx', 'lib/cli/tunstack.ts', 'gateway', ...args])
    for (const [args, status, message] of [
      [['--netns', 'nobody-there'], 1, /nobody-there/],
      [['--deny', '1.2.3.4:9-2'], 2, /deny/],
    ] as const) {
      const result = await run(...args)
      expect([result.status, args]).to.deep.equal([status, args])
      expect(result.stderr).to.match(message)
    }
  })
})
