/**
 * The kernel's side of the comparison, in a namespace: joins and leaves with a socket of the kernel's, and is the
 * other end of its TUN. Prints, as JSON, what the kernel sent in each scene, in hexadecimal.
 */
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { openTun } from '../../../lib/device/tun/index.ts'
import { Burst, type LinkHost, PacketPool, systemClock } from '../../../lib/index.ts'
import { SCENES } from './igmp-steps.ts'

const KERNEL = '10.9.0.1'
const IGMP = 2

const tun = await openTun({ name: 'tun0', address: `${KERNEL}/24` })
const pool = new PacketPool()
let seen: string[] = []
const host: LinkHost = {
  pool,
  clock: systemClock(),
  receive(burst) {
    for (let i = 0; i < burst.length; i++) {
      const packet = burst.packets[i]!
      const bytes = packet.toUint8Array()
      if (bytes[0]! >>> 4 === 4 && bytes[9] === IGMP) seen.push(Buffer.from(bytes).toString('hex'))
      packet.free()
    }
    burst.clear()
  },
  schedule() {},
  wake() {},
  changed() {},
}
tun.attach(host)
tun.setUp(true)

const socket = createSocket('udp4')
socket.bind(6000)
await once(socket, 'listening')
const sent: string[][] = []
for (const { step, wait } of SCENES) {
  seen = []
  for (const each of step) {
    if ('join' in each) socket.addMembership(each.join, KERNEL)
    else if ('leave' in each) socket.dropMembership(each.leave, KERNEL)
    else {
      const burst = new Burst()
      burst.push(pool.from(Buffer.from(each.hear, 'hex'))!)
      tun.transmit(burst)
    }
  }
  await new Promise((resolve) => setTimeout(resolve, wait))
  sent.push(seen)
}
socket.close()
await tun.close()
console.log(`sent ${JSON.stringify(sent)}`)
