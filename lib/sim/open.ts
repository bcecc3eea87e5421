/** What is still open in a simulation, for the message of a run that does not end. */
import { formatIpv4 } from '../address/ipv4-address.ts'
import type { Ipv4Path } from '../tcp/ipv4-path.ts'
import { TcpState, tcpStateName } from '../tcp/tcb.ts'
import type { Holds } from './holds.ts'
import type { Host } from './host.ts'

/** Connections that a message names. */
const MOST = 8

export function describeOpen(hosts: readonly Host[], holds: Holds): string {
  const open = holds.names.map((what) => `hold '${what}'`)
  let connections = 0
  for (const host of hosts) {
    host.tcpProtocol.forEachConnection(({ state, path }) => {
      if (state === TcpState.CLOSED) return
      if (connections++ < MOST) open.push(`${host.name} ${endsOf(path)} ${tcpStateName(state)}`)
    })
  }
  if (connections > MOST) open.push(`${connections - MOST} connections more`)
  return open.length === 0 ? 'no connection is open' : `open: ${open.join(', ')}`
}

function endsOf(path: Ipv4Path): string {
  return `${formatIpv4(path.local)}:${path.localPort} > ${formatIpv4(path.remote)}:${path.remotePort}`
}
