import { expect } from 'chai'
import {
  captureDevice,
  createPipe,
  fromPacketStream,
  Loopback,
  type RouteOptions,
  Stack,
  TunstackError,
  VirtualClock,
} from '../../lib/index.ts'

/** What a program without types, or with a slip, may pass. */
const wrong = (value: unknown): never => value as never

function failure(call: () => unknown): TunstackError {
  try {
    call()
  } catch (error) {
    expect(error).to.be.instanceOf(TunstackError)
    return error as TunstackError
  }
  throw new Error('the call was taken')
}

describe('wrong calls', () => {
  let stack: Stack

  beforeEach(() => {
    stack = new Stack({ clock: new VirtualClock() })
  })
  afterEach(() => stack.close())

  const expectRefused = (
    calls: readonly (readonly [call: () => unknown, message: string | RegExp])[],
    code = 'ERR_INVALID_ARG_VALUE',
  ): void => {
    for (const [call, message] of calls) {
      const error = failure(call)
      expect(error.code, String(call)).to.equal(code)
      expect(error.message).to.match(new RegExp(message))
    }
  }

  it('of new Stack() name the option', () => {
    expectRefused([
      [() => new Stack({ clock: wrong(Date) }), '^clock must be a Clock'],
      [() => new Stack({ random: wrong(() => 1) }), '^random must be a RandomSource'],
      [() => new Stack({ packetMemory: -1 }), '^packetMemory must be 131072 bytes or more; got -1'],
      [() => new Stack({ packetMemory: 4096 }), '^packetMemory must be'],
      [() => new Stack({ packetMemory: Number.NaN }), '^packetMemory must be'],
    ])
  })

  it('of addDevice() say what a device is', () => {
    expectRefused([
      [() => stack.addDevice(wrong(undefined)), '^device must be a LinkDevice.*; got undefined'],
      [() => stack.addDevice(wrong(Promise.resolve())), 'awaited.*Promise'],
      [() => stack.addDevice(wrong(createPipe())), 'one end of createPipe'],
    ])
    expect(failure(() => stack.addDevice(createPipe()[0], { name: wrong(5) })).code).to.equal('EINVAL')
    const device = createPipe()[0]
    stack.addDevice(device)
    expect(failure(() => stack.addDevice(device, { name: 'again' })).code).to.equal('EBUSY')
  })

  it('of createPipe(), Loopback, fromPacketStream() and captureDevice() too', () => {
    expectRefused(
      [
        [() => createPipe({ names: wrong(['a']) }), 'is no interface name'],
        [() => createPipe({ queue: 0 }), 'queue of pipe0'],
        [() => createPipe({ queue: Number.NaN }), 'queue of pipe0'],
        [() => createPipe({ mtu: 40 }), 'mtu 40'],
        [() => new Loopback({ backlog: wrong('many') }), 'queue of lo'],
      ],
      'EINVAL',
    )
    expectRefused([
      [() => fromPacketStream(wrong(undefined)), '^stream must be a Duplex'],
      [() => fromPacketStream(wrong({ on() {}, write() {}, pause() {} })), 'no resume'],
      [() => captureDevice(wrong(null), () => {}), '^device must be'],
      [() => captureDevice(createPipe()[0], wrong({})), '^observer must be'],
    ])
  })

  it('of an interface are told, and its methods say that it is gone', async () => {
    const nic = stack.addDevice(createPipe()[0])
    expectRefused([
      [() => nic.addAddress(wrong(undefined)), '^address must be'],
      [() => nic.addAddress('10.9.0.1/33'), '^prefix must be'],
      [() => nic.addAddress('10.9.0.1/24', { scope: wrong('universe') }), '^scope must be one of global'],
      [() => nic.addAddress('10.9.0.1/24', { scope: wrong('toString') }), '^scope must be'],
    ])
    expect(nic.addresses).to.deep.equal([])
    await nic.remove()
    const gone: (() => unknown)[] = [
      () => nic.up(),
      () => nic.down(),
      () => nic.setMtu(1400),
      () => nic.addAddress('10.9.0.1/24'),
      () => nic.removeAddress('10.9.0.1/24'),
      () => nic.joinGroup('224.1.1.1'),
      () => nic.leaveGroup('224.1.1.1'),
    ]
    expectRefused(
      gone.map((call) => [call, /^pipe0 was removed/.source] as const),
      'ENODEV',
    )
    await nic.remove()
  })

  it('of routes.add() name the word or the option', () => {
    stack.addDevice(createPipe()[0], { name: 'tun0' }).addAddress('10.9.0.2/24')
    const { routes } = stack
    const to = '192.0.2.0/24'
    expectRefused([
      [() => routes.add(wrong(undefined)), '^route must be text'],
      [() => routes.add(wrong({})), '^address must be'],
      [() => routes.add(`toString ${to}`), '^route must be'],
      [() => routes.add(`${to} dev tun0 constructor 1`), "not 'constructor'"],
      [() => routes.add(`${to} dev tun0 metric low`), '^metric must be a whole number'],
      [() => routes.add({ to, dev: 'tun0', metric: wrong('5') }), '^metric must be'],
      [() => routes.add({ to, dev: 'tun0', metric: -1 }), '^metric must be'],
      [() => routes.add({ to, dev: 'tun0', tos: 256 }), '^tos must be'],
      [() => routes.add({ to, dev: 'tun0', mtu: Number.NaN }), '^mtu must be'],
      [() => routes.add({ to, dev: 'tun0', table: wrong('toString') }), '^table must be one of'],
      [() => routes.add({ to, dev: 'tun0', type: wrong('constructor') } as RouteOptions), '^type must be'],
      [() => routes.delete(wrong(null)), '^route must be'],
    ])
    routes.add(`${to} dev tun0 tos 0x10 table 0x64`).delete({ to, tos: 16, table: 100 })
  })

  it('of ping() reject, and leave nothing running', async () => {
    for (const [options, message] of [
      [{ interval: Number.NaN }, 'interval'],
      [{ interval: '5' }, 'interval'],
      [{ count: Number.NaN }, 'count'],
      [{ size: 65508 }, 'size'],
      [{ mark: -1 }, 'mark'],
      [{ pathMtuDiscovery: 'probably' }, 'pathMtuDiscovery must be one of want, do, dont'],
      [{ signal: {} }, 'signal must be an AbortSignal'],
      [{ signal: null }, 'signal must be an AbortSignal'],
    ] as const) {
      const error = await stack.ping('127.0.0.1', wrong(options)).then(
        () => expect.fail(message),
        (reason: unknown) => reason as TunstackError,
      )
      expect(error.code, message).to.equal('ERR_INVALID_ARG_VALUE')
      expect(error.message).to.include(message)
    }
    expect(stack.mib.get('IcmpOutEchos')).to.equal(0)
  })

  it('of capture() and explain() name the option, and a closed stack says that it is', async () => {
    const listener = (): void => {}
    expectRefused([
      [() => stack.capture(wrong(undefined)), '^capture must be given one of'],
      [() => stack.capture({}), '^capture must be given one of'],
      [() => stack.capture({ listener: wrong('log') }), '^listener must be a function'],
      [() => stack.capture({ listener, filter: wrong('icmp') }), '^filter must be a function'],
      [() => stack.capture({ listener, device: wrong(5) }), '^device must be'],
      [() => stack.capture({ listener, snaplen: Number.NaN }), '^snaplen must be'],
      [() => stack.explain(wrong(5)), '^target must be'],
    ])
    await stack.close()
    expect(failure(() => stack.capture({ listener })).code).to.equal('ERR_STACK_CLOSED')
  })

  it('do not include a lifetime that is given alone', () => {
    const nic = stack.addDevice(createPipe()[0])
    nic.addAddress('10.9.0.1/24', { validLifetime: 60 })
    expect(nic.addresses).to.deep.equal(['10.9.0.1/24'])
  })
})
