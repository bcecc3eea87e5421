/** `tunstack exec`: programs that know nothing of a stack, on one behind a TUN, beside programs of the kernel. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { type Namespace, type Process, useTestbed } from './netns.ts'

const STACK = '10.9.0.2'
const KERNEL = '10.9.0.1'

const WEB_SERVER = `
import http from 'node:http'
import { createServer } from 'node:net'
http.createServer((request, response) => {
  request.resume().on('end', () => response.end(request.method + ' ' + request.url + ' from ' + request.socket.remoteAddress))
}).listen(80, () => createServer((socket) => socket.pipe(socket)).listen(7, () => console.log('ready')))
`
const DATAGRAM_SERVER = `
const socket = require('dgram').createSocket('udp4')
socket.on('message', (bytes, { address, port }) => socket.send(bytes, port, address))
socket.bind(7, () => console.log('ready'))
`
const CLIENT = `
const http = require('http'), dns = require('dns').promises
async function main() {
  console.log(await (await fetch('http://kernel.test:8080/fetch')).text())
  http.get('http://${KERNEL}:8080/get', async (message) => { for await (const chunk of message) console.log(String(chunk)) })
  console.log(JSON.stringify(await dns.resolveMx('example.test')), (await dns.resolveTxt('long.test')).length)
  console.log(await dns.lookup('nobody.test').catch(({ message }) => message))
}
main()
`

/** A DNS server and a web server of the kernel. */
const KERNEL_SERVERS = `
import { createSocket as open } from 'node:dgram'
import http from 'node:http'
import net from 'node:net'
import { decode, encode, AUTHORITATIVE_ANSWER, TRUNCATED_RESPONSE } from 'dns-packet'
const records = {
  'kernel.test A': [{ type: 'CNAME', name: 'kernel.test', data: 'host.test' }, { type: 'A', name: 'host.test', ttl: 9, data: '${KERNEL}' }],
  'example.test MX': [{ type: 'MX', name: 'example.test', data: { preference: 5, exchange: 'mail.test' } }],
  'long.test TXT': Array.from({ length: 40 }, (_, i) => ({ type: 'TXT', name: 'long.test', data: i + 'x'.repeat(200) })),
}
function answer(bytes, most) {
  const { id, questions } = decode(bytes)
  const answers = records[questions[0].name + ' ' + questions[0].type]
  const flags = AUTHORITATIVE_ANSWER | (answers ? 0 : 3)
  const all = encode({ type: 'response', id, flags, questions, answers: answers ?? [] })
  return all.length <= most ? all : encode({ type: 'response', id, flags: flags | TRUNCATED_RESPONSE, questions, answers: [] })
}
const socket = open('udp4', (bytes, { port, address }) => socket.send(answer(bytes, 1232), port, address))
socket.bind(5353, '${KERNEL}')
net.createServer((client) => client.on('data', (bytes) => {
  const reply = answer(bytes.subarray(2), 65535)
  client.write(Buffer.concat([Buffer.from([reply.length >> 8, reply.length & 255]), reply]))
}).on('error', () => {})).listen(5353, '${KERNEL}')
http.createServer((request, response) => response.end(request.url + ' from ' + request.socket.remoteAddress)).listen(8080, '${KERNEL}', () => console.log('ready'))
`

describe('tunstack exec', function () {
  this.timeout(60_000)
  this.slow(20_000)
  const bed = useTestbed()
  let folder: string
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'tunstack-exec-'))
  })
  after(() => rmSync(folder, { recursive: true }))

  function exec(host: Namespace, options: string[], program: string[], ready?: RegExp): Promise<Process> {
    const own = ['--tun', 'tun0', '--address', `${STACK}/24`, ...options, '--', process.execPath, ...program]
    const command = [
      'env',
      'NODE_OPTIONS=--import tsx',
      process.execPath,
      'lib/cli/tunstack.ts',
      'exec',
      ...own,
    ]
    return host.start(command, ready === undefined ? {} : { ready })
  }

  function file(name: string, text: string): string {
    const path = join(folder, name)
    writeFileSync(path, text)
    return path
  }

  it('a web server, as an ES module, that curl and nc talk to; signals reach it', async () => {
    const host = bed.namespace('host')
    host.addTun('tun0', { address: `${KERNEL}/24` })
    const server = await exec(host, [], [file('server.mjs', WEB_SERVER)], /ready/)
    const { stdout } = await host.run(`curl -s http://${STACK}/a http://${STACK}/b -d x`)
    expect(stdout).to.equal(`POST /a from ${KERNEL}POST /b from ${KERNEL}`)
    const size = 1 << 20
    const echoed = await host.run(['sh', '-c', `head -c ${size} /dev/zero | nc -N ${STACK} 7 | wc -c`])
    expect(Number(echoed.stdout)).to.equal(size)
    // Nothing of it listens anywhere else.
    expect((await host.run('ss -Hltun')).stdout.trim()).to.equal('')
    expect((await server.stop('SIGTERM')).status).to.equal(143)
  })

  it('a datagram server, as CommonJS', async () => {
    const host = bed.namespace('host')
    host.addTun('tun0', { address: `${KERNEL}/24` })
    await exec(host, [], [file('server.cjs', DATAGRAM_SERVER)], /ready/)
    const { stdout } = await host.run(['sh', '-c', `echo hello | socat -t 2 - UDP:${STACK}:7`])
    expect(stdout).to.equal('hello\n')
  })

  it('a client: fetch, http and DNS, to servers of the kernel', async () => {
    const host = bed.namespace('host')
    host.addTun('tun0', { address: `${KERNEL}/24` })
    const servers = ['--import', 'tsx', '--input-type=module', '--eval', KERNEL_SERVERS]
    await host.start([process.execPath, ...servers], { ready: /ready/ })
    const client = await exec(host, ['--dns', `${KERNEL}:5353`], [file('client.cjs', CLIENT)])
    const { stdout, stderr, status } = await client.finish(20_000)
    expect(status, stderr).to.equal(0)
    expect(stdout.trim().split('\n').sort()).to.deep.equal([
      `/fetch from ${STACK}`,
      `/get from ${STACK}`,
      '[{"exchange":"mail.test","priority":5}] 40',
      'getaddrinfo ENOTFOUND nobody.test',
    ])
  })
})
