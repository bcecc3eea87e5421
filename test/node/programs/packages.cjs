'use strict'
/** Popular packages, unchanged, in a process that knows nothing of a stack: express, ws, undici and pg. */
const { once } = require('node:events')
const http = require('node:http')
const net = require('node:net')
const express = require('express')
const pg = require('pg')
const undici = require('undici')
const WebSocket = require('ws')

const found = {}

async function web() {
  const app = express()
  app.use(express.json())
  app.post('/sum', (request, response) => response.json({ sum: request.body.reduce((a, b) => a + b, 0) }))
  const server = http.createServer(app)
  const sockets = new WebSocket.Server({ server })
  sockets.on('connection', (socket) => socket.on('message', (data) => socket.send(`echo ${data}`)))
  server.listen(0)
  await once(server, 'listening')
  const { port } = server.address()

  const { statusCode, body } = await undici.request(`http://localhost:${port}/sum`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: '[1,2,39]',
  })
  found['express, undici'] = [statusCode, await body.json()]
  const socket = new WebSocket(`ws://localhost:${port}`)
  await once(socket, 'open')
  socket.send('hello')
  const [message] = await once(socket, 'message')
  found.ws = String(message)
  socket.terminate()
  sockets.close()
  server.close()
  await undici.getGlobalDispatcher().close()
}

/** As much of PostgreSQL's protocol (version 3) as a client needs who asks one question. */
function database(socket) {
  const message = (type, ...parts) => {
    const body = Buffer.concat(
      parts.map((part) => (typeof part === 'string' ? Buffer.from(`${part}\0`) : part)),
    )
    const length = Buffer.alloc(4)
    length.writeInt32BE(body.length + 4)
    return Buffer.concat([Buffer.from(type), length, body])
  }
  const int = (size, value) => {
    const bytes = Buffer.alloc(size)
    bytes.writeIntBE(value, 0, size)
    return bytes
  }
  const ready = message('Z', Buffer.from('I'))
  socket.once('data', () => {
    socket.write(Buffer.concat([message('R', int(4, 0)), ready]))
    socket.on('data', (bytes) => {
      if (bytes[0] === 0x58) return socket.end() // Terminate
      const query = bytes.subarray(5, bytes.indexOf(0, 5))
      const column = [
        int(2, 1),
        'answer',
        int(4, 0),
        int(2, 0),
        int(4, 25),
        int(2, -1),
        int(4, -1),
        int(2, 0),
      ]
      socket.write(
        Buffer.concat([
          message('T', ...column),
          message('D', int(2, 1), int(4, query.length), query),
          message('C', 'SELECT 1'),
          ready,
        ]),
      )
    })
  })
}

async function postgres() {
  const server = net.createServer(database).listen(0)
  await once(server, 'listening')
  const client = new pg.Client({ host: 'localhost', port: server.address().port, user: 'me', database: 'db' })
  await client.connect()
  found.pg = (await client.query('SELECT 42')).rows
  await client.end()
  server.close()
}

web()
  .then(postgres)
  .then(() => console.log(JSON.stringify(found)))
  .catch((error) => {
    console.error(error)
    process.exit(1)
  })
