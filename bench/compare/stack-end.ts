/**
 * One end of bulk flows with the stack's TCP, behind a TUN of its own whose kernel side forwards: what it does it is
 * told in lines of JSON ({@link StackOrder}). Received content is checked.
 *
 *     stack-end.ts DEVICE ADDRESS/LENGTH GATEWAY
 */
import { openTun } from '../../lib/device/tun/index.ts'
import { Stack, type TcpConnectOptions, type TcpEvent, type TcpSocket } from '../../lib/index.ts'
import { CHUNK, checkContent, contentAt } from '../tcp-content.ts'
import type { Received, Sent, StackOrder, StackSend } from './flow.ts'
import { answer, onCommand } from './lines.ts'

const [name, address, gateway] = process.argv.slice(2) as [string, string, string]
const stack = new Stack()
// As the kernel is set: a connection does not profit from the one before.
stack.sysctlSet('net.ipv4.tcp_no_metrics_save', 1)
stack.addDevice(await openTun({ name })).addAddress(address)
stack.routes.add(`default via ${gateway}`)

/** Seconds of the machine's monotonic clock. */
const monotonic = (): number => Number(process.hrtime.bigint()) / 1e9

async function receive(port: number, seconds: number, slot: number): Promise<Received> {
  const listener = stack.tcp.listen({ port, backlog: 1 })
  answer({ listening: port })
  const socket = await listener.accept()
  const start = monotonic()
  void listener.close()
  const slots = new Array<number>(Math.round(seconds / slot)).fill(0)
  let bytes = 0
  let over = false
  const end = setTimeout(() => {
    over = true
    socket.reset()
  }, seconds * 1000)
  const buffer = Buffer.alloc(CHUNK)
  try {
    while (!over) {
      const n = await socket.readInto(buffer)
      if (n === 0) break
      const at = Math.floor((monotonic() - start) / slot)
      if (at >= slots.length) break
      checkContent(buffer, n, bytes)
      bytes += n
      slots[at]! += n
    }
  } catch (error) {
    if (!over) throw error
  }
  if (!over) socket.reset()
  clearTimeout(end)
  return { start, bytes, slots }
}

async function send({ address, port, congestion, traced }: StackSend): Promise<Sent> {
  const events: TcpEvent[] = []
  const start = monotonic()
  const socket = await stack.tcp.connect({
    address,
    port,
    congestion: congestion as NonNullable<TcpConnectOptions['congestion']>,
    ...(traced ? { events: (event: TcpEvent) => void events.push(event) } : {}),
  })
  await writeUntilReset(socket)
  return { start, info: socket.info, ...(traced ? { events } : {}) }
}

async function writeUntilReset(socket: TcpSocket): Promise<void> {
  try {
    for (let sent = 0; ; sent += CHUNK) await socket.write(contentAt(sent))
  } catch (error) {
    const { code } = error as { code?: string }
    if (code !== 'ECONNRESET' && code !== 'EPIPE') throw error
  }
}

onCommand<StackOrder>(async (order) => {
  const { id } = order
  if ('receive' in order) {
    const { port, seconds, slot } = order.receive
    answer({ id, received: await receive(port, seconds, slot) })
  } else answer({ id, sent: await send(order.send) })
})
process.on('SIGTERM', () => void stack.close().then(() => process.exit(0)))
console.log('ready')
