/** Takes a stack's configuration: as commands for `ip -batch`, as settings for `sysctl`, or as an object. */
import type { Stack } from '../stack/stack.ts'
import { BatchWriter } from './batch-text.ts'
import type { StackConfiguration } from './configuration.ts'
import { encode } from './encode.ts'
import { Restoration, refusalText } from './restoration.ts'
import { snapshot } from './snapshot.ts'
import { standIn } from './stand-in.ts'

/**
 * The configuration as an object that goes through JSON: devices, addresses, routes of all tables, rules, settings.
 * What passes by is not in it: counters, memberships of multicast groups, path MTUs that were learnt.
 */
export function saveJson(stack: Stack): StackConfiguration {
  return encode(snapshot(stack))
}

/**
 * The configuration as a script for `ip -batch`, of iproute2 or of a stack ({@link loadBatch}). It is for a host
 * with the same devices and no configuration: a new network namespace, a new stack. Settings follow
 * as comments of the form `# sysctl -w NAME=VALUE`.
 */
export function saveBatch(stack: Stack): string {
  const model = snapshot(stack)
  const writer = new BatchWriter(model)
  // A new stack has its loopback up, a new network namespace has not.
  for (const { name, loopback } of model.links) {
    if (!loopback) continue
    writer.link(name, 'down')
    writer.flush(name)
  }
  const trial = standIn(model)
  const restoration = new Restoration(trial, model, {
    writer,
    refused: (refusal) => writer.comment(`cannot be restored: ${refusalText(refusal)}`),
  })
  restoration.run()
  for (const [name, value] of model.sysctls) writer.setting(name, value)
  void trial.close()
  return writer.toString()
}

/** A setting and its value. */
export interface SysctlValue {
  name: string
  value: string
}

/** The settings that differ from those of a new stack, in an order in which they can be written. */
export function saveSysctls(stack: Stack): SysctlValue[] {
  return snapshot(stack).sysctls.map(([name, value]) => ({ name, value }))
}
