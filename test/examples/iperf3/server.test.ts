/** examples/iperf3's server beside a client that does as iperf3's at the end of a test in both directions. */
import { expect } from 'chai'
import { COOKIE_LENGTH, ControlConnection, newCookie, State } from '../../../examples/iperf3/control.ts'
import { DEFAULT_TCP_LENGTH, type Parameters, parametersToJson } from '../../../examples/iperf3/parameters.ts'
import { IperfServer } from '../../../examples/iperf3/server.ts'
import { createPipe, Stack, type TcpSocket } from '../../../lib/index.ts'

const PORT = 5201
const SERVER = '10.1.0.2'

const BOTH_WAYS: Parameters = {
  udp: false,
  omit: 0,
  time: 1,
  bytes: 0,
  blocks: 0,
  parallel: 1,
  reverse: false,
  bidirectional: true,
  length: DEFAULT_TCP_LENGTH,
  rate: 0,
  window: 0,
  tos: 0,
  noDelay: false,
  congestion: '',
  counters64: true,
}

async function expectState(control: ControlConnection, name: keyof typeof State): Promise<void> {
  expect(await control.readState(), name).to.equal(State[name])
}

describe('iperf3’s server', function () {
  this.timeout(10_000)
  const errors: string[] = []
  const { error, log } = console
  before(() => {
    console.error = (text: string) => errors.push(text)
    console.log = () => {}
  })
  after(() => Object.assign(console, { error, log }))

  it('ends a test whose client reads its streams no more', async () => {
    await using client = new Stack()
    await using host = new Stack()
    const [clientEnd, hostEnd] = createPipe()
    client.addDevice(clientEnd).addAddress('10.1.0.1/24')
    host.addDevice(hostEnd).addAddress(`${SERVER}/24`)
    const serving = new IperfServer(host, { port: PORT, interval: 1, json: true, once: true }).run()

    const cookie = newCookie()
    expect(cookie).to.have.length(COOKIE_LENGTH)
    const connect = async (): Promise<TcpSocket> => {
      const socket = await client.tcp.connect({ address: SERVER, port: PORT })
      await socket.write(cookie)
      return socket
    }
    const control = new ControlConnection(await connect(), 'server')
    await expectState(control, 'PARAM_EXCHANGE')
    await control.sendJson(parametersToJson(BOTH_WAYS))
    await expectState(control, 'CREATE_STREAMS')
    const streams = [await connect(), await connect()]
    await expectState(control, 'TEST_START')
    await expectState(control, 'TEST_RUNNING')
    // Until the server's write waits for room that nobody makes.
    for (let before = -1, now = 0; now !== before || now === 0; ) {
      await new Promise((resolve) => setTimeout(resolve, 100))
      before = now
      now = streams[1]!.readableLength
    }
    await control.send(State.TEST_END)
    await expectState(control, 'EXCHANGE_RESULTS')
    await control.sendJson({ cpu_util_total: 0, cpu_util_user: 0, cpu_util_system: 0, streams: [] })
    const results = await control.readJson()
    expect(results['streams']).to.have.length(2)
    await expectState(control, 'DISPLAY_RESULTS')
    await control.send(State.IPERF_DONE)
    await serving
    expect(errors.filter((text) => text.includes('error'))).to.deep.equal([])
    for (const socket of streams) socket.reset()
  })
})
