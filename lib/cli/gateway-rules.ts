/** Rules of `tunstack gateway`, in the order in which they are given: the first that fits a flow decides. */
import { isIPv4 } from 'node:net'
import { ipv4Mask, parseIpv4, parseIpv4Prefix } from '../address/ipv4-address.ts'
import { invalidArgument } from '../errors.ts'
import type { GatewayFlow, GatewayVerdict } from '../node/gateway/options.ts'

export type Rule = (flow: GatewayFlow) => GatewayVerdict

/**
 * @param text whom it is about, `TARGET[:PORT[-PORT]]`: an address, a prefix, a name, `*.name` for what is below one,
 * `*` for everybody
 * @throws TunstackError `ERR_INVALID_ARG_VALUE`
 */
export function parseRule(action: 'allow' | 'deny' | 'drop', text: string): Rule {
  const [, target, first, last] = /^(.+?)(?::(\d{1,5})(?:-(\d{1,5}))?)?$/.exec(text) ?? []
  const [low, high] = [Number(first ?? 0), Number(last ?? first ?? 0xffff)]
  if (target === undefined || low > high || high > 0xffff) {
    throw invalidArgument(action, text, 'an address, a prefix or a name, perhaps with :port or :first-last')
  }
  const isMeant = matcher(target)
  return (flow) => {
    const { port } = flow.destination
    return (first === undefined || (port >= low && port <= high)) && isMeant(flow) ? action : undefined
  }
}

/** What the first rule that fits says. */
export function decideBy(rules: readonly Rule[]): Rule {
  return (flow) => {
    for (const rule of rules) {
      const verdict = rule(flow)
      if (verdict !== undefined) return verdict
    }
    return undefined
  }
}

function matcher(target: string): (flow: GatewayFlow) => boolean {
  if (target === '*') return () => true
  if (isIPv4(target.replace(/\/\d+$/, ''))) {
    const { address, length } = parseIpv4Prefix(target.includes('/') ? target : `${target}/32`)
    const mask = ipv4Mask(length)
    return ({ destination }) => ((parseIpv4(destination.address) ^ address) & mask) === 0
  }
  const name = target.toLowerCase()
  if (!/^(\*\.)?[\w.-]+$/.test(name))
    throw invalidArgument('a rule', target, 'an address, a prefix or a name')
  if (!name.startsWith('*.')) return ({ names }) => names.includes(name)
  return ({ names }) => names.some((one) => one.endsWith(name.slice(1)))
}
