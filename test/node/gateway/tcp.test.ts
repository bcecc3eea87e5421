/** TCP of a guest through the gateway to servers on the host's loopback. */
import { createHash, randomBytes } from 'node:crypto'
import type { Socket } from 'node:net'
import { expect } from 'chai'
import { createPipe, ip, Stack, type TcpSocket } from '../../../lib/index.ts'
import { type GatewayFlow, gateway } from '../../../lib/node/index.ts'
import { GUEST, OUTSIDE, OWN, until, useRig } from './rig.ts'

const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes)
const bytes = (string: string): Uint8Array => new TextEncoder().encode(string)

async function readAll(socket: TcpSocket): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  for await (const chunk of socket) chunks.push(chunk)
  return Buffer.concat(chunks)
}

const failure = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'no error',
    (error: NodeJS.ErrnoException) => error.code ?? error.message,
  )

describe('gateway: TCP', () => {
  const rig = useRig()
  const to = (port: number) => () => ({ redirect: { address: '127.0.0.1', port } })

  it('carries every byte both ways, and the end of each', async () => {
    const port = await rig.serve((socket) => socket.pipe(socket))
    const { guest, gateway } = await rig.make({ onConnect: to(port) })
    const socket = await guest.tcp.connect({ address: OUTSIDE, port: 7 })
    const data = randomBytes(3_000_000)
    const sent = socket.write(data).then(() => socket.end())
    const received = await readAll(socket)
    await sent
    const digest = (what: Uint8Array): string => createHash('sha256').update(what).digest('hex')
    expect(digest(received)).to.equal(digest(data))
    expect(gateway.counters).to.include({ tcpToHost: data.length, tcpToGuest: data.length })
    await until(() => gateway.counters.tcpOpen === 0)
  })

  it('lets one direction go on when the other has ended', async () => {
    const port = await rig.serve((socket) => {
      let request = ''
      socket.on('data', (chunk) => (request += chunk))
      socket.on('end', () => setTimeout(() => socket.end(`you said ${request}`), 5))
    })
    const { guest } = await rig.make({ onConnect: to(port) })
    const socket = await guest.tcp.connect({ address: OUTSIDE, port: 80 })
    await socket.write(bytes('this'))
    socket.end()
    expect(text(await readAll(socket))).to.equal('you said this')
  })

  it('passes on what the host says first, and its end before the guest’s', async () => {
    let heard = ''
    let over = false
    const port = await rig.serve((socket) => {
      socket.end('220 hello')
      socket.on('data', (chunk) => (heard += chunk)).on('end', () => (over = true))
    })
    const { guest } = await rig.make({ onConnect: to(port) })
    const socket = await guest.tcp.connect({ address: OUTSIDE, port: 25 })
    expect(text(await readAll(socket))).to.equal('220 hello')
    await socket.write(bytes('quit'))
    await socket.close()
    await until(() => over)
    expect(heard).to.equal('quit')
  })

  it('holds back a host whose guest does not read, and a guest whose host does not', async () => {
    let written = 0
    let host!: Socket
    const port = await rig.serve((socket) => {
      host = socket
      socket.pause()
      const more = (): void => {
        while (written < 64 << 20 && socket.write(Buffer.alloc(65536))) written += 65536
      }
      socket.on('drain', more)
      more()
    })
    const { guest, gateway } = await rig.make({ onConnect: to(port) })
    const socket = await guest.tcp.connect({ address: OUTSIDE, port: 9, receiveBuffer: 65536 })
    let taken = 0
    const flood = async (): Promise<void> => {
      for (; taken < 64 << 20; taken += 65536) await socket.write(new Uint8Array(65536))
    }
    const flooding = failure(flood())
    let before = -1
    while (written + taken !== before) {
      before = written + taken
      await new Promise((resolve) => setTimeout(resolve, 60))
    }
    expect(written, 'host to guest').to.be.below(40 << 20)
    expect(taken, 'guest to host').to.be.below(40 << 20)
    host.resetAndDestroy()
    expect(await flooding).to.equal('ECONNRESET')
    await until(() => gateway.counters.tcpOpen === 0)
  })

  it('passes on a reset of either side', async () => {
    const codes: (string | undefined)[] = []
    let host!: Socket
    const port = await rig.serve((socket) => {
      host = socket
      socket.on('error', (error: NodeJS.ErrnoException) => codes.push(error.code)).resume()
    })
    const { guest, gateway } = await rig.make({ onConnect: to(port) })
    const first = await guest.tcp.connect({ address: OUTSIDE, port: 9 })
    first.reset()
    await until(() => codes.length === 1)
    expect(codes).to.deep.equal(['ECONNRESET'])
    const second = await guest.tcp.connect({ address: OUTSIDE, port: 9 })
    await until(() => !host.destroyed)
    host.resetAndDestroy()
    expect(await failure(readAll(second))).to.equal('ECONNRESET')
    await until(() => gateway.counters.tcpOpen === 0)
  })

  it('refuses where the host is refused, and before anything was answered', async () => {
    const { guest, gateway } = await rig.make({ onConnect: to(1) })
    expect(await failure(guest.tcp.connect({ address: OUTSIDE, port: 9 }))).to.equal('ECONNREFUSED')
    await until(() => gateway.counters.tcpOpen === 0)
    expect(gateway.counters).to.include({ tcpFailed: 1, denied: 0 })
    expect(guest.mib.get('TcpInSegs')).to.equal(1) // the reset
  })

  it('says that a host is unreachable where this host has no way', async () => {
    // 240.0.0.0/4 is refused by the kernel without a packet, and reached by redirection only.
    const { guest } = await rig.make({ onConnect: () => ({ redirect: { address: '255.255.255.255' } }) })
    const code = await failure(guest.tcp.connect({ address: OUTSIDE, port: 9 }))
    expect(code).to.match(/^(ENETUNREACH|EHOSTUNREACH)$/)
  })

  it('asks the program, who may take its time, and tells what it knows', async () => {
    const port = await rig.serve((socket) => socket.end('hello'))
    const flows: GatewayFlow[] = []
    const { guest, gateway } = await rig.make({
      onConnect: async (flow) => {
        flows.push(flow)
        await new Promise((resolve) => setTimeout(resolve, 3))
        return flow.destination.port === 80 ? { redirect: { address: '127.0.0.1', port } } : 'deny'
      },
    })
    const socket = await guest.tcp.connect({ address: OUTSIDE, port: 80, localPort: 40_000 })
    expect(text(await readAll(socket))).to.equal('hello')
    expect(await failure(guest.tcp.connect({ address: OUTSIDE, port: 81 }))).to.equal('ECONNREFUSED')
    expect(flows[0]).to.deep.equal({
      protocol: 'tcp',
      source: { address: GUEST, port: 40_000 },
      destination: { address: OUTSIDE, port: 80 },
      name: undefined,
      names: [],
    })
    expect(gateway.counters.denied).to.equal(1)
  })

  it('does not answer what is dropped', async () => {
    const { guest, gateway } = await rig.make({ onConnect: () => 'drop' })
    const signal = AbortSignal.timeout(20)
    expect(await failure(guest.tcp.connect({ address: OUTSIDE, port: 80, signal }))).to.match(/Timeout|23/)
    expect(guest.mib.get('TcpInSegs')).to.equal(0)
    expect(gateway.counters.denied).to.equal(1)
  })

  it('denies what the program throws at, and says so', async () => {
    const errors: unknown[] = []
    const { guest } = await rig.make({
      onConnect: ({ destination }) => {
        if (destination.port === 1) throw new Error('no')
        return 'perhaps' as 'allow'
      },
      onError: (error) => errors.push(error),
    })
    for (const port of [1, 2]) {
      expect(await failure(guest.tcp.connect({ address: OUTSIDE, port }))).to.equal('ECONNREFUSED')
    }
    expect(errors.map((error) => (error as Error).message).join('; ')).to.match(/^no; .*'allow', 'deny'/)
  })

  it('keeps guests from the host’s loopback unless it is opened, and from their own network', async () => {
    const port = await rig.serve((socket) => socket.end('host'))
    const closed = await rig.make({ onConnect: () => 'allow' })
    expect(await failure(closed.guest.tcp.connect({ address: OWN, port }))).to.equal('ECONNREFUSED')
    expect(await failure(closed.guest.tcp.connect({ address: '10.0.2.9', port }))).to.equal('ECONNREFUSED')
    const open = await rig.make({ hostLoopback: true })
    const socket = await open.guest.tcp.connect({ address: OWN, port })
    expect(text(await readAll(socket))).to.equal('host')
  })

  it('counts connections, and refuses those over the limit', async () => {
    const port = await rig.serve((socket) => socket.resume())
    const { guest, gateway } = await rig.make({ onConnect: to(port), maxConnections: 2 })
    const sockets = [
      await guest.tcp.connect({ address: OUTSIDE, port: 1 }),
      await guest.tcp.connect({ address: OUTSIDE, port: 2 }),
    ]
    expect(await failure(guest.tcp.connect({ address: OUTSIDE, port: 3 }))).to.equal('ECONNREFUSED')
    expect(gateway.counters).to.include({ tcpOpen: 2, tcpLimited: 1, tcpRequests: 3 })
    for (const socket of sockets) socket.reset()
    await until(() => gateway.counters.tcpOpen === 0)
    await guest.tcp.connect({ address: OUTSIDE, port: 4 })
  })

  it('leaves a stack of the program’s as it was', async () => {
    const stack = new Stack()
    rig.undo(() => stack.close())
    expect(await failure(gateway(stack))).to.equal('ERR_INVALID_ARG_VALUE')
    const [, outer] = createPipe({ names: ['eth0', 'eth0'] })
    stack.addDevice(outer)
    const all = (): string[] =>
      ['address', 'rule', 'route show table all'].map((command) => ip(stack, command).stdout)
    const before = all()
    const made = await gateway(stack)
    expect(all()).to.not.deep.equal(before)
    expect(await failure(gateway(stack))).to.equal('EADDRINUSE')
    await made.close()
    expect(all()).to.deep.equal(before)
  })
})
