/**
 * Whatever the network does, the buffers hold and the programs do: every byte arrives, in order, once, and nothing
 * hangs. Time is virtual; `TUNSTACK_TCP_RUNS` and `TUNSTACK_TCP_SEED` make a run longer or another one.
 */
import { expect } from 'chai'
import fc from 'fast-check'
import type { TcpSocket } from '../../lib/index.ts'
import { impaired } from './impaired.ts'
import { content, Pair, tick } from './pair.ts'

const RUNS = Number(process.env['TUNSTACK_TCP_RUNS'] ?? 60)
const SEED = Number(process.env['TUNSTACK_TCP_SEED'] ?? 1)

const probability = (most: number) => fc.oneof(fc.constant(0), fc.double({ min: 0, max: most, noNaN: true }))

const network = fc.record({
  seed: fc.integer({ min: 1, max: 1 << 30 }),
  delay: fc.constantFrom(0, 1, 10, 100),
  loss: probability(0.25),
  duplicate: probability(0.2),
  reorder: probability(0.4),
  corrupt: probability(0.05),
  extra: fc.constantFrom(1, 20, 300),
})
/** Whether the devices take super-segments. */
const tso = fc.boolean()
const side = fc.record({
  bytes: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 5000 }), fc.integer({ min: 5000, max: 150_000 })),
  piece: fc.constantFrom(1, 100, 1448, 5000, 65_536),
  readSize: fc.constantFrom(10, 1000, 20_000, 1 << 18),
  /** Milliseconds that the reader pauses now and then. */
  pause: fc.constantFrom(0, 0, 50, 3000),
  receiveBuffer: fc.constantFrom(0, 2048, 5000, 100_000),
  sendBuffer: fc.constantFrom(0, 2048, 50_000),
  noDelay: fc.boolean(),
})
const settings = fc.record({
  'net.ipv4.tcp_sack': fc.constantFrom(0, 1),
  'net.ipv4.tcp_timestamps': fc.constantFrom(0, 1),
  'net.ipv4.tcp_window_scaling': fc.constantFrom(0, 1),
  'net.ipv4.tcp_dsack': fc.constantFrom(0, 1),
})
const mtu = fc.constantFrom(1500, 1500, 576, 9000, 68 + 60)

type Side = typeof side extends fc.Arbitrary<infer T> ? T : never

async function write(socket: TcpSocket, bytes: Uint8Array, { piece }: Side): Promise<void> {
  const size = Math.max(piece, Math.ceil(bytes.length / 2000))
  for (let at = 0; at < bytes.length; at += size) await socket.write(bytes.subarray(at, at + size))
  socket.end()
}

async function read(
  pair: Pair,
  socket: TcpSocket,
  length: number,
  { readSize, pause }: Side,
): Promise<Uint8Array> {
  const all = new Uint8Array(length + 1)
  let at = 0
  let pauses = 5
  for (;;) {
    const count = await socket.readInto(all, at, Math.min(readSize, all.length - at))
    if (count === 0) return all.subarray(0, at)
    at += count
    if (pause > 0 && pauses-- > 0) {
      await new Promise<void>((resolve) => void pair.clock.setTimer(resolve, pause * 1e6))
    }
  }
}

describe('TCP over any network', function () {
  this.timeout(30_000 + RUNS * 2000)

  it('brings every byte, and ends (hardening-21)', () =>
    fc.assert(
      fc.asyncProperty(
        network,
        side,
        side,
        settings,
        mtu,
        tso,
        async (impairment, a, b, sysctls, size, large) => {
          const pair = new Pair({
            seed: impairment.seed,
            mtu: size,
            features: { tso: large },
            // Losing every packet of a handshake ends it rightly.
            wrap: (device, which) =>
              impaired(device, { ...impairment, seed: impairment.seed + which, quiet: 2 }),
          })
          for (const stack of [pair.left, pair.right]) {
            for (const [name, value] of Object.entries(sysctls)) stack.sysctlSet(name, value)
          }
          const options = ({ receiveBuffer, sendBuffer, noDelay }: Side) => ({
            noDelay,
            ...(receiveBuffer === 0 ? {} : { receiveBuffer }),
            ...(sendBuffer === 0 ? {} : { sendBuffer }),
          })
          const { client, server } = await pair.connect(options(a), options(b))
          const up = content(a.bytes, 1)
          const down = content(b.bytes, 2)
          const all = Promise.all([
            read(pair, server, up.length, b),
            read(pair, client, down.length, a),
            write(client, up, a),
            write(server, down, b),
          ])
          const [gotUp, gotDown] = await pair.until(all, 36_000)
          expect(Buffer.compare(gotUp, up), 'up').to.equal(0)
          expect(Buffer.compare(gotDown, down), 'down').to.equal(0)
          await pair.until(Promise.all([client.close(), server.close()]), 3600)
          await pair.pass(4000_000)
          for (const { state } of [client, server]) expect(state).to.be.oneOf(['CLOSED', 'TIME_WAIT'])
          for (const stack of [pair.left, pair.right]) {
            stack.tcpProtocol.forEachConnection((tcb) => expect.fail(`left over in state ${tcb.state}`))
          }
          await tick()
          await pair.end()
        },
      ),
      { numRuns: RUNS, seed: SEED },
    ))
})
