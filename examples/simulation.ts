/**
 * A request that is repeated until it is answered, on a network that loses a third of the packets and is cut for a
 * while; in virtual time, so that minutes pass in no time, and repeatable from its seed.
 *
 *     client ──20 ms, 30 % loss── router ──5 ms, 1 Mbit/s── server
 *
 * Run it with `node --import tsx examples/simulation.ts [SEED]`.
 */
import { simulate } from '../lib/node/simulation.ts'

const [seed = '1'] = process.argv.slice(2)
const net = simulate({ seed: Number(seed) })
const client = net.host('10.0.0.2/24', { name: 'client' })
const router = net.router(['10.0.0.1/24', '10.0.1.1/24'], { name: 'router' })
const server = net.host('10.0.1.2/24', { name: 'server' })
const radio = net.link(client, router, { delay: '20ms', jitter: '5ms', loss: 0.3 })
net.link(router, server, { delay: '5ms', rate: '1mbit', queue: 'codel' })

const answering = server.udp.bind({
  port: 7,
  onMessage: ({ data, address, port }) => answering.send(data, { address, port }),
})

/** Sends a request, after each second without an answer again; gives how often. */
async function ask(number: number): Promise<number> {
  const socket = client.udp.bind()
  socket.connect({ address: '10.0.1.2', port: 7 })
  for (let tries = 1; ; tries++) {
    socket.send(Uint8Array.of(number))
    await Promise.race([socket.readable(), net.sleep('1s')])
    if (socket.waiting === 0) continue
    socket.close()
    return tries
  }
}

net.after('30s', () => void radio.cut())
net.after('45s', () => void radio.heal())

const tries = await net.run(async () => {
  const list: number[] = []
  while (net.time < 60_000) {
    list.push(await ask(list.length))
    await net.sleep('250ms')
  }
  return list
})

const { sent, lost } = radio.counters()
console.log(
  `${tries.length} requests in ${(net.time / 1000).toFixed(1)} s of virtual time, ${net.events} events`,
)
console.log(
  `answered at the first try: ${tries.filter((n) => n === 1).length}; most tries: ${Math.max(...tries)}`,
)
console.log(`${lost} of ${sent} packets lost on the radio link, the last of them:`)
const last = radio.dropped.at(-1)
console.log(`  ${last === undefined ? 'none' : `${(last.time / 1000).toFixed(3)} s  ${last.text}`}`)
await net.close()
