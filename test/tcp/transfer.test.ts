import { expect } from 'chai'
import { impaired } from './impaired.ts'
import { content, Pair, readAll, writeAll } from './pair.ts'

describe('TCP between two stacks', () => {
  let pair: Pair
  afterEach(() => pair.end())

  it('connects, exchanges a few bytes, and closes in order', async () => {
    pair = new Pair()
    const { client, server } = await pair.connect()
    expect(client.state).to.equal('ESTABLISHED')
    expect(server.remotePort).to.equal(client.localPort)
    await client.write(new Uint8Array([1, 2, 3]))
    client.end()
    expect(await pair.until(readAll(server))).to.deep.equal(new Uint8Array([1, 2, 3]))
    expect(server.state).to.equal('CLOSE_WAIT')
    await server.write(new Uint8Array([4]))
    server.end()
    expect(await pair.until(readAll(client))).to.deep.equal(new Uint8Array([4]))
    await pair.pass(10)
    expect(client.state).to.equal('TIME_WAIT')
    expect(server.state).to.equal('CLOSED')
  })

  it('connects after a long silence: the handshake tells the RTT, and the SYN goes once', async () => {
    pair = new Pair({ wrap: (device) => impaired(device, { delay: 50 }) })
    await pair.pass(30_000)
    const { client } = await pair.connect()
    expect(client.info.rtt).to.equal(100_000)
    expect(pair.left.mib.get('TcpExtTCPSynRetrans')).to.equal(0)
  })

  it('moves megabytes both ways at once, unharmed', async () => {
    pair = new Pair()
    const { client, server } = await pair.connect()
    const up = content(4 << 20, 1)
    const down = content(3 << 20, 2)
    const send = async (socket: typeof client, bytes: Uint8Array): Promise<void> => {
      await writeAll(socket, bytes)
      socket.end()
    }
    const all = Promise.all([send(client, up), send(server, down), readAll(server), readAll(client)])
    const [, , gotUp, gotDown] = await pair.until(all)
    expect(Buffer.compare(gotUp, up)).to.equal(0)
    expect(Buffer.compare(gotDown, down)).to.equal(0)
    expect(pair.left.mib.get('TcpRetransSegs')).to.equal(0)
    expect(pair.right.mib.get('TcpRetransSegs')).to.equal(0)
  })
})
