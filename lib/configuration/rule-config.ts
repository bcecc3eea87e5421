/** A rule of a configuration as the stack takes it. */
import type { RuleConfig } from '../route/fib-rules.ts'
import type { RuleModel } from './model.ts'

export function ruleConfig(rule: RuleModel): RuleConfig {
  const config: RuleConfig = {
    priority: rule.priority,
    action: rule.action,
    mark: rule.mark,
    markMask: rule.markMask,
    tos: rule.tos,
    protocolNumber: rule.protocolNumber,
    suppressPrefixLength: rule.suppressPrefixLength,
    suppressGroup: rule.suppressGroup,
    invert: rule.invert,
    protocol: rule.protocol,
    tclassid: rule.realms,
  }
  if (rule.table !== 0) config.table = rule.table
  if (rule.target !== 0) config.target = rule.target
  if (rule.from !== null) config.from = rule.from
  if (rule.to !== null) config.to = rule.to
  if (rule.iif !== null) config.iif = rule.iif
  if (rule.oif !== null) config.oif = rule.oif
  if (rule.sport !== null) config.sport = rule.sport
  if (rule.dport !== null) config.dport = rule.dport
  if (rule.uidRange !== null) config.uidRange = rule.uidRange
  return config
}
