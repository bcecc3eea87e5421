/**
 * Three hosts in one process, joined by two pipes, without any privileges: `left` and `right` reach each other
 * through `router`, whose second link takes packets of 1400 bytes at most.
 *
 *     left 10.1.0.2 ──eth0 1500── router ──eth1 1400── right 10.2.0.2
 *
 * Run it with `node --import tsx examples/two-stacks.ts`.
 */
import { createPipe, formatIpv4Packet, Stack } from '../lib/index.ts'

const left = new Stack()
const router = new Stack()
const right = new Stack()

const [leftEnd, routerLeft] = createPipe({ names: ['eth0', 'eth0'] })
const [routerRight, rightEnd] = createPipe({ names: ['eth1', 'eth0'], mtu: 1400 })

left.addDevice(leftEnd).addAddress('10.1.0.2/24')
router.addDevice(routerLeft).addAddress('10.1.0.1/24')
router.addDevice(routerRight).addAddress('10.2.0.1/24')
right.addDevice(rightEnd).addAddress('10.2.0.2/24')

left.routes.add('default via 10.1.0.1')
right.routes.add('default via 10.2.0.1')

console.log('## 1. Two stacks and a pipe: neighbours need no router')
console.log((await left.ping('10.1.0.1', { count: 3, interval: 20 })).summary)

console.log('## 2. Beyond it nobody answers: a host does not forward unless it is told to')
console.log((await left.ping('10.2.0.2', { count: 2, interval: 20, timeout: 200 })).summary)

console.log('## 3. net.ipv4.ip_forward = 1 makes a router, and each end reaches the other')
router.sysctlSet('net.ipv4.ip_forward', 1)
const there = await left.ping('10.2.0.2', { count: 3, interval: 20 })
const back = await right.ping('10.1.0.2', { count: 3, interval: 20 })
console.log(`${there.summary}${back.summary}`)
console.log(`The reply came with TTL ${there.probes[0]!.ttl}: 64, less one for the router.`)
console.log(`The router counts IpForwDatagrams ${router.mib.get('IpForwDatagrams')}.\n`)

console.log('## 4. The path MTU: 1500 bytes with DF do not fit the second link, and the router says so')
const watch = router.capture({
  device: 'eth0',
  listener: ({ direction, bytes }) =>
    console.log(`router eth0 ${direction.padEnd(3)} ${formatIpv4Packet(bytes, 0, bytes.length)}`),
})
const large = { count: 2, interval: 100, size: 1472, pathMtuDiscovery: 'do' } as const
const refused = await left.ping('10.2.0.2', large)
watch.close()
for (const { sequence, code, from, icmp } of refused.probes) {
  const who = from === undefined ? 'the sending stack itself' : from
  console.log(`seq ${sequence}: ${code} from ${who}${icmp === undefined ? '' : `, mtu = ${icmp.info}`}`)
}
console.log(`\nleft has learnt it, so explain() shows it:\n${left.explain('10.2.0.2').text}`)

console.log('## 5. Without DF the sender cuts the packets to what it has learnt')
console.log((await left.ping('10.2.0.2', { count: 2, interval: 20, size: 1472 })).summary)
console.log(
  `left counts IpFragCreates ${left.mib.get('IpFragCreates')}, right IpReasmOKs ${right.mib.get('IpReasmOKs')}.`,
)

await Promise.all([left, router, right].map((stack) => stack.close()))
