/** iperf3's server: one test at a time; whoever comes meanwhile is told that it is busy. */
import type { Stack, TcpSocket, UdpSocket } from '../../lib/index.ts'
import {
  COOKIE_LENGTH,
  ControlConnection,
  IESETCONGESTION,
  IperfError,
  readExactly,
  State,
} from './control.ts'
import { type Parameters, parametersFromJson, streamId } from './parameters.ts'
import { Session } from './session.ts'
import type { Stream } from './stream.ts'
import { TcpStream } from './tcp-stream.ts'
import { HELLO_REPLY, UdpStream } from './udp-stream.ts'

/** How long a client may take from one step to the next, in milliseconds. */
const STEP_TIMEOUT = 10_000

export interface ServerOptions {
  port: number
  interval: number
  json: boolean
  /** End after one test. */
  once: boolean
}

/** A test that is being served. */
interface Current {
  readonly cookie: string
  /** Takes a connection that has brought the cookie. */
  takeStream: ((socket: TcpSocket) => void) | null
}

const nameOf = (cookie: Uint8Array): string => String.fromCharCode(...cookie)

export class IperfServer {
  readonly #stack: Stack
  readonly #options: ServerOptions
  #current: Current | null = null

  constructor(stack: Stack, options: ServerOptions) {
    this.#stack = stack
    this.#options = options
  }

  /** Serves until the stack is closed, or once. */
  async run(): Promise<void> {
    const { port, once } = this.#options
    const listener = this.#stack.tcp.listen({ port })
    console.error(`Server listening on ${port}`)
    let finish!: () => void
    const finished = new Promise<void>((resolve) => {
      finish = resolve
    })
    const accepting = (async () => {
      for await (const socket of listener) {
        void this.#admit(socket).then((served) => {
          if (served && once) finish()
        })
      }
    })()
    await Promise.race([finished, accepting])
    await listener.close()
  }

  /** @returns whether it was a test, which is over now */
  async #admit(socket: TcpSocket): Promise<boolean> {
    try {
      const bytes = await within(STEP_TIMEOUT, readExactly(socket, COOKIE_LENGTH))
      if (bytes === null) {
        await socket.close()
        return false
      }
      const cookie = nameOf(bytes)
      const current = this.#current
      if (current !== null) {
        if (cookie === current.cookie && current.takeStream !== null) current.takeStream(socket)
        else
          await new ControlConnection(socket, 'client').send(State.ACCESS_DENIED).then(() => socket.close())
        return false
      }
      this.#current = { cookie, takeStream: null }
      await this.#serve(new ControlConnection(socket, 'client'), this.#current)
      return true
    } catch (error) {
      console.error(`iperf3: error - ${(error as Error).message}`)
      socket.reset()
      return false
    } finally {
      if (this.#current !== null && this.#current.takeStream === null) this.#current = null
    }
  }

  async #serve(control: ControlConnection, current: Current): Promise<void> {
    const { socket } = control
    console.error(`Accepted connection from ${socket.remoteAddress}, port ${socket.remotePort}`)
    let session: Session | null = null
    let streams: Stream[] = []
    try {
      await control.send(State.PARAM_EXCHANGE)
      const parameters = parametersFromJson(await within(STEP_TIMEOUT, control.readJson()))
      this.#useCongestion(parameters)
      const count = parameters.parallel * (parameters.bidirectional ? 2 : 1)
      // Of a test in both directions the client opens those that it sends on first.
      const sends = (i: number): boolean =>
        parameters.bidirectional ? i >= parameters.parallel : parameters.reverse
      const opened = parameters.udp
        ? this.#udpStreams(control, parameters, count, sends)
        : this.#tcpStreams(current, parameters, count, sends)
      await control.send(State.CREATE_STREAMS)
      streams = await within(STEP_TIMEOUT, opened)
      const { interval, json } = this.#options
      const about = { accepted_connection: { host: socket.remoteAddress, port: socket.remotePort } }
      session = new Session(this.#stack, parameters, streams, interval, json, about)
      await control.send(State.TEST_START)
      await control.send(State.TEST_RUNNING)
      session.start()
      const state = await control.readState()
      session.stop()
      if (state !== State.TEST_END) await control.fail(state)
      for (const stream of streams) stream.close()
      await control.send(State.EXCHANGE_RESULTS)
      await session.exchange(control, false)
      await control.send(State.DISPLAY_RESULTS)
      await within(STEP_TIMEOUT, control.readState())
      await socket.close()
    } catch (error) {
      if (error instanceof IperfError && error.number !== 0)
        await control.sendError(error.number).catch(() => {})
      throw error
    } finally {
      current.takeStream = null
      session?.close()
      for (const stream of streams) stream.close()
    }
  }

  /** One that the stack does not know is refused; another than the present one is set for what follows. */
  #useCongestion({ congestion, udp }: Parameters): void {
    if (udp || congestion === '') return
    try {
      this.#stack.sysctlSet('net.ipv4.tcp_congestion_control', congestion)
    } catch {
      throw new IperfError(`unable to set TCP_CONGESTION: '${congestion}' is not known`, IESETCONGESTION)
    }
  }

  #tcpStreams(
    current: Current,
    parameters: Parameters,
    count: number,
    sends: (i: number) => boolean,
  ): Promise<Stream[]> {
    return new Promise((resolve) => {
      const streams: Stream[] = []
      current.takeStream = (socket) => {
        const i = streams.length
        streams.push(new TcpStream(socket, streamId(i), sends(i), parameters))
        if (streams.length === count) resolve(streams)
      }
    })
  }

  /** Each stream says hello from a port of its own; a socket that has it as its peer gets what follows. */
  async #udpStreams(
    control: ControlConnection,
    parameters: Parameters,
    count: number,
    sends: (i: number) => boolean,
  ): Promise<Stream[]> {
    const { udp } = this.#stack
    const { port } = this.#options
    const address = control.socket.localAddress
    const options = { port, address, reuseAddress: true, receiveBuffer: 1 << 20, tos: parameters.tos }
    const open: UdpSocket = udp.bind(options)
    const streams: Stream[] = []
    try {
      while (streams.length < count) {
        const { address: peer, port: peerPort } = await open.receive()
        const socket = udp.bind(options)
        socket.connect({ address: peer, port: peerPort })
        socket.send(HELLO_REPLY)
        streams.push(new UdpStream(socket, streamId(streams.length), sends(streams.length), parameters))
      }
      return streams
    } finally {
      open.close()
    }
  }
}

async function within<T>(milliseconds: number, what: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new IperfError('the client takes too long')), milliseconds)
  })
  try {
    return await Promise.race([what, late])
  } finally {
    clearTimeout(timer)
  }
}
