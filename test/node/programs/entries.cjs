'use strict'
/**
 * A program that knows nothing of a stack: it talks to itself by every way into the network that Node has, and prints
 * what came of each. It fails if it ever had a socket of the kernel: only those that it was started with may be open.
 */
const { once } = require('node:events')
const { readFileSync, readdirSync, readlinkSync } = require('node:fs')
const { join } = require('node:path')

/** @param {Record<string, any>} modules as a program gets them */
module.exports = async function entries({ net, http, https, tls, dgram, dns, dnsPromises }) {
  const before = sockets()
  const check = () => {
    const more = sockets().filter((socket) => !before.includes(socket))
    if (more.length > 0) throw new Error(`sockets of the kernel: ${more}`)
  }
  const read = (name) => readFileSync(join(__dirname, '..', name))
  const credentials = { key: read('localhost-key.pem'), cert: read('localhost-cert.pem') }
  const ca = credentials.cert
  const servers = []
  const listen = async (server) => {
    servers.push(server)
    server.listen(0)
    await once(server, 'listening')
    return server.address().port
  }
  const text = async (stream) => {
    let all = ''
    for await (const chunk of stream) all += chunk
    check()
    return all
  }
  const get = (module, options) =>
    new Promise((resolve, reject) =>
      module
        .get({ host: 'localhost', agent: false, ...options }, (message) =>
          text(message).then(resolve, reject),
        )
        .on('error', reject),
    )
  const failure = (emitter) =>
    new Promise((resolve) => emitter.once('error', ({ message }) => resolve(message)))
  const found = {}

  const plain = await listen(net.createServer((socket) => socket.end('net')))
  found['net.connect'] = await text(net.connect(plain))
  found['new net.Socket'] = await text(new net.Socket().connect({ port: plain, host: '127.0.0.1' }))
  found['net, refused'] = await failure(net.connect(1, '127.0.0.1'))

  const web = await listen(http.createServer((request, response) => response.end(`http ${request.url}`)))
  found['http.get'] = await get(http, { port: web, path: '/a' })
  found['http.Agent'] = await get(http, { port: web, path: '/b', agent: new http.Agent() })
  found['http, the global agent'] = await get(http, { port: web, path: '/c', agent: undefined })
  found.fetch = await (await fetch(`http://localhost:${web}/d`, { headers: { connection: 'close' } })).text()
  found['fetch, refused'] = await fetch('http://127.0.0.1:4').catch((error) => error.cause.message)

  const secure = await listen(tls.createServer(credentials, (socket) => socket.end('tls')))
  found['tls.connect'] = await text(tls.connect({ port: secure, host: 'localhost', ca }))
  found['tls over a socket'] = await text(
    tls.connect({ socket: net.connect(secure), servername: 'localhost', ca }),
  )
  found['tls, refused'] = await failure(tls.connect({ port: 1, host: '127.0.0.1', ca }))

  const secureWeb = await listen(
    https.createServer(credentials, (_request, response) => response.end('https')),
  )
  found['https.get'] = await get(https, { port: secureWeb, ca })
  found['https, the global agent'] = await get(https, { port: secureWeb, ca, agent: undefined })

  const echo = dgram.createSocket('udp4')
  echo.on('message', (bytes, { port, address }) => echo.send(bytes, port, address))
  echo.bind(0, '127.0.0.1')
  await once(echo, 'listening')
  const client = dgram.createSocket('udp4')
  client.send('dgram', echo.address().port, 'localhost')
  const [reply] = await once(client, 'message')
  check()
  found.dgram = String(reply)
  echo.close()
  client.close()

  found['dns.lookup'] = await new Promise((resolve) =>
    dns.lookup('db', (error, address) => resolve(error?.message ?? address)),
  )
  found['dns.promises.lookup'] = (await dnsPromises.lookup('db')).address
  found['dns.lookup, nobody'] = await new Promise((resolve) =>
    dns.lookup('nobody', ({ message }) => resolve(message)),
  )
  found['dns.resolve4, no server'] = await dnsPromises.resolve4('nobody').catch(({ message }) => message)
  check()

  for (const server of servers) server.close()
  http.globalAgent.destroy()
  https.globalAgent.destroy()
  console.log(JSON.stringify(found))
}

/** Sockets of the kernel that this process has. */
function sockets() {
  return readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      const target = readlinkSync(`/proc/self/fd/${fd}`)
      return target.startsWith('socket:') ? [target] : []
    } catch {
      return [] // the descriptor that the folder was read by
    }
  })
}

if (require.main === module) {
  module
    .exports({
      net: require('node:net'),
      http: require('node:http'),
      https: require('node:https'),
      tls: require('node:tls'),
      dgram: require('node:dgram'),
      dns: require('node:dns'),
      dnsPromises: require('node:dns/promises'),
    })
    .catch((error) => {
      console.error(error)
      process.exit(1)
    })
}
