/**
 * Who may be reached: the program's decision, and what is so unless it says otherwise. The gateway's own address means
 * the host's loopback, if that was asked for; the guest's network is not on the host, and neither are groups and
 * broadcast addresses.
 */
import { formatIpv4, type Ipv4Address, ipv4Mask, parseIpv4 } from '../../address/ipv4-address.ts'
import { invalidArgument } from '../../errors.ts'
import type { GatewayFlow, GatewayProtocol, GatewaySettings, GatewayVerdict } from './options.ts'

export interface Decision {
  readonly action: 'allow' | 'deny' | 'drop'
  /** Where the host is to go. */
  readonly address: string
  readonly port: number
}

/** Which names have an address as their answer. */
export interface NamesOfAddresses {
  namesOf(address: Ipv4Address): readonly string[]
}

const HOST_LOOPBACK = '127.0.0.1'
const NO_NAMES: readonly string[] = []

export class Policy {
  readonly #settings: GatewaySettings
  readonly #report: (error: unknown) => void
  /** Of the gateway's DNS, if it has one. */
  names: NamesOfAddresses | null = null

  constructor(settings: GatewaySettings, report: (error: unknown) => void) {
    this.#settings = settings
    this.#report = report
  }

  /** At once, unless the program takes its time. */
  decide(
    protocol: GatewayProtocol,
    source: Ipv4Address,
    sourcePort: number,
    destination: Ipv4Address,
    port: number,
  ): Decision | Promise<Decision> {
    const address = formatIpv4(destination)
    const usual = this.#usual(destination, address, port)
    const { onConnect } = this.#settings
    if (onConnect === undefined) return usual
    const names = this.names?.namesOf(destination) ?? NO_NAMES
    const flow: GatewayFlow = {
      protocol,
      source: { address: formatIpv4(source), port: sourcePort },
      destination: { address, port },
      name: names[0],
      names,
    }
    try {
      const verdict = onConnect(flow)
      if (verdict instanceof Promise) {
        return verdict
          .then((later) => decisionOf(later, usual))
          .catch((error: unknown) => this.#failed(error, usual))
      }
      return decisionOf(verdict, usual)
    } catch (error) {
      return this.#failed(error, usual)
    }
  }

  #failed(error: unknown, usual: Decision): Decision {
    this.#report(error)
    return { ...usual, action: 'deny' }
  }

  #usual(destination: Ipv4Address, address: string, port: number): Decision {
    const { prefix, hostLoopback } = this.#settings
    if (destination === prefix.address) {
      return { action: hostLoopback ? 'allow' : 'deny', address: HOST_LOOPBACK, port }
    }
    const mask = ipv4Mask(prefix.length)
    const isInside = ((destination ^ prefix.address) & mask) === 0
    const isBroadcast = isInside && (destination | mask) === -1
    if (isBroadcast || destination >>> 28 >= 14) return { action: 'drop', address, port } // nobody is told of (RFC 1122 §3.2.2)
    return { action: isInside || isNobody(destination) ? 'deny' : 'allow', address, port }
  }
}

/** `'allow'` opens nothing that is closed for a reason; a redirection says itself where it leads. */
function decisionOf(verdict: GatewayVerdict, usual: Decision): Decision {
  if (verdict === undefined || verdict === 'allow') return usual
  if (verdict === 'deny' || verdict === 'drop') return { ...usual, action: verdict }
  const redirect = verdict?.redirect
  if (typeof redirect !== 'object' || redirect === null) {
    throw invalidArgument('verdict', verdict, "'allow', 'deny', 'drop' or { redirect: { address, port } }")
  }
  const { address, port = usual.port } = redirect
  parseIpv4(address)
  if (!Number.isInteger(port) || port < 0 || port > 0xffff) throw invalidArgument('port', port, '0…65535')
  return { action: 'allow', address, port }
}

/** This network, and the host's loopback (RFC 1122 §3.2.1.3). */
function isNobody(address: Ipv4Address): boolean {
  const first = address >>> 24
  return first === 0 || first === 127
}
