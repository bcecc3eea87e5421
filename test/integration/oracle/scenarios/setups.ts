/** The configurations that scenarios share, and short ways to say what is sent into them. */
import { type Bytes, echoRequest, type IpFields, ip, pattern, udp } from '../build-packet.ts'
import type { WirePacket } from '../injector-protocol.ts'
import type { Scenario, Setup, Step } from '../scenario.ts'

export const HOST = '10.9.0.2'
export const PEER = '10.9.0.1'
/** Beyond the second device of the router. */
export const FAR = '10.8.0.9'
export const NEAR_FAR = '10.8.0.2'

/** One TUN, as `examples` have it, and a second prefix on loopback. */
export const host: Setup = {
  addresses: { tun0: [`${HOST}/24`], lo: ['10.0.3.1/24'] },
  routes: ['default via 10.9.0.1 dev tun0'],
}

export const router: Setup = {
  addresses: { tun0: [`${HOST}/24`], tun1: [`${NEAR_FAR}/24`], lo: [] },
  routes: ['10.77.0.0/16 via 10.8.0.1 dev tun1', 'default via 10.9.0.1 dev tun0'],
  sysctl: { ip_forward: 1 },
}

export const on = (device: string, ...packets: Uint8Array[]): WirePacket[] =>
  packets.map((bytes) => ({ device, bytes }))

/** One step per packet, into tun0. */
export function each(packets: Record<string, Uint8Array | readonly Uint8Array[]>, wait?: number): Step[] {
  return Object.entries(packets).map(([title, bytes]) => ({
    title,
    packets: on('tun0', ...(bytes instanceof Uint8Array ? [bytes] : bytes)),
    ...(wait === undefined ? {} : { wait }),
  }))
}

export const echo = (fields: Partial<IpFields> = {}, length = 56): Bytes =>
  ip({ src: PEER, dst: HOST, payload: echoRequest(length), ...fields })

export function closed(
  fields: Partial<IpFields> = {},
  length = 10,
  more: Partial<Parameters<typeof udp>[0]> = {},
): Bytes {
  const { src = PEER, dst = HOST } = fields
  return ip({ src, dst, protocol: 17, payload: udp({ src, dst, data: pattern(length), ...more }), ...fields })
}

export const forwarded = (fields: Partial<IpFields> = {}, length = 10): Bytes =>
  closed({ dst: FAR, ...fields }, length)
export const zeros = (n: number): number[] => new Array<number>(n).fill(0)

export const ping = (src: string, dst: string, fields: Partial<IpFields> = {}): Bytes =>
  echo({ src, dst, ...fields })

/** A datagram of this host, for errors to quote. */
export const quoted = closed({ src: HOST, dst: PEER })

export const scenario = (name: string, setup: Setup, steps: readonly Step[]): Scenario => ({
  name,
  setup,
  steps,
})
export const withSysctl = (setup: Setup, sysctl: Record<string, number>): Setup => ({
  ...setup,
  sysctl: { ...setup.sysctl, ...sysctl },
})
export const everyConf = (name: string, value: number): Record<string, number> => ({
  [`conf.all.${name}`]: value,
  [`conf.tun0.${name}`]: value,
})
