/** iperf3's client: opens the streams that the server asks for, sends or receives, and compares. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Stack } from '../../lib/index.ts'
import { ControlConnection, IperfError, newCookie, State } from './control.ts'
import { type Parameters, parametersToJson, streamId } from './parameters.ts'
import { Session } from './session.ts'
import type { Stream } from './stream.ts'
import { TcpStream } from './tcp-stream.ts'
import { HELLO, UdpStream } from './udp-stream.ts'

export interface ClientOptions {
  host: string
  port: number
  interval: number
  json: boolean
}

/** Runs one test. @throws IperfError, or what the stack says of the connection */
export async function runClient(stack: Stack, parameters: Parameters, options: ClientOptions): Promise<void> {
  const { host: address, port, interval, json } = options
  if (!json) console.log(`Connecting to host ${address}, port ${port}`)
  const socket = await stack.tcp.connect({ address, port })
  const control = new ControlConnection(socket, 'server')
  const cookie = newCookie()
  await socket.write(cookie)
  let streams: Stream[] = []
  let session: Session | null = null
  try {
    for (;;) {
      const state = await control.readState()
      switch (state) {
        case State.PARAM_EXCHANGE:
          await control.sendJson(parametersToJson(parameters))
          break
        case State.CREATE_STREAMS:
          streams = await openStreams(stack, parameters, options, cookie)
          break
        case State.TEST_START:
          session = new Session(stack, parameters, streams, interval, json, {
            connecting_to: { host: address, port },
          })
          break
        case State.TEST_RUNNING:
          session!.start()
          await lasts(parameters, session!, control)
          session!.stop()
          if (session!.error !== null) throw session!.error
          await control.send(State.TEST_END)
          break
        case State.EXCHANGE_RESULTS:
          await session!.exchange(control, true)
          break
        case State.DISPLAY_RESULTS:
          await control.send(State.IPERF_DONE)
          await socket.close()
          return
        default:
          await control.fail(state)
      }
    }
  } catch (error) {
    await control.send(State.CLIENT_TERMINATE).catch(() => {})
    socket.reset()
    throw error
  } finally {
    session?.close()
    for (const stream of streams) stream.close()
  }
}

/** Until the time is over, or as much has been sent as was asked for, or the server ends it. */
async function lasts(parameters: Parameters, session: Session, control: ControlConnection): Promise<void> {
  const { time, omit } = parameters
  const limited = parameters.bytes > 0 || parameters.blocks > 0
  const ending = new AbortController()
  const end = limited ? session.quota.used : sleep((time + omit) * 1000, undefined, ending)
  // Whatever the server says now is the end of the test; its byte must not be lost if it says nothing.
  const spoken =
    control.socket.readableLength > 0 ? control.readState() : untilReadable(control, ending.signal)
  const state = await Promise.race([end.then(() => null), spoken])
  ending.abort()
  if (state !== null) await control.fail(state)
}

/** Looks every so often, so that no read is left waiting when the test ends in good order. */
async function untilReadable(control: ControlConnection, signal: AbortSignal): Promise<number | null> {
  const { socket } = control
  while (!signal.aborted) {
    if (socket.readableLength > 0 || socket.state !== 'ESTABLISHED') return control.readState()
    await sleep(50)
  }
  return null
}

async function openStreams(
  stack: Stack,
  parameters: Parameters,
  { host: address, port }: ClientOptions,
  cookie: Uint8Array,
): Promise<Stream[]> {
  const { parallel, bidirectional, reverse, udp, window, tos, congestion } = parameters
  const streams: Stream[] = []
  for (let i = 0; i < parallel * (bidirectional ? 2 : 1); i++) {
    const sends = bidirectional ? i < parallel : !reverse
    if (udp) {
      const socket = stack.udp.bind({ receiveBuffer: 1 << 20, tos })
      socket.connect({ address, port })
      await hello(socket)
      streams.push(new UdpStream(socket, streamId(i), sends, parameters))
    } else {
      const buffers = window === 0 ? {} : { receiveBuffer: window, sendBuffer: window }
      const algorithm = congestion === '' ? {} : { congestion: congestion as 'cubic' }
      const socket = await stack.tcp.connect({ address, port, tos, ...buffers, ...algorithm })
      await socket.write(cookie)
      streams.push(new TcpStream(socket, streamId(i), sends, parameters))
    }
  }
  return streams
}

/** Until the server has answered: datagrams get lost. */
async function hello(socket: ReturnType<Stack['udp']['bind']>): Promise<void> {
  for (let tries = 0; tries < 10; tries++) {
    socket.send(HELLO)
    const answer = await socket.receive({ signal: AbortSignal.timeout(500) }).catch(() => null)
    if (answer !== null) return
  }
  throw new IperfError('the server does not answer over UDP')
}
