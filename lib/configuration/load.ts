/** Gives a stack a configuration that was saved. */
import { ipBatch } from '../iproute2/ip.ts'
import type { Stack, StackOptions } from '../stack/stack.ts'
import type { StackConfiguration } from './configuration.ts'
import { ConfigurationError } from './configuration-error.ts'
import { decode } from './decode.ts'
import type { ConfigurationModel } from './model.ts'
import { type Refusal, Restoration } from './restoration.ts'
import { standIn } from './stand-in.ts'
import { applySysctls } from './sysctl-values.ts'

/**
 * Makes the stack's configuration that of the document, and nothing else: what was configured before goes. The
 * devices must be there under their names; others that are there end up down and without addresses. The document
 * is checked before anything is changed.
 * @param configuration an object, or its JSON text
 * @throws ConfigurationError, with the path of what is wrong
 */
export function loadJson(stack: Stack, configuration: StackConfiguration | string): void {
  const model = decode(parse(configuration))
  model.links.forEach(({ name }, index) => {
    if (stack.devices.byName(name) !== undefined) return
    const what = `the stack has no device '${name}'; add it first`
    throw new ConfigurationError('ERR_CONFIGURATION_DEVICE', `links[${index}].name`, what, { value: name })
  })
  restore(stack, model, refuse)
}

/**
 * A stack with that configuration, and for each of its devices one without a wire: good for `stack.explain()` and
 * `ip route get`, not for packets.
 * @throws ConfigurationError
 */
export function stackFromJson(configuration: StackConfiguration | string, options: StackOptions = {}): Stack {
  const model = decode(parse(configuration))
  const stack = standIn(model, options)
  restore(stack, model, refuse)
  return stack
}

/** @internal */
export function restore(stack: Stack, model: ConfigurationModel, refused: (refusal: Refusal) => void): void {
  const restoration = new Restoration(stack, model, { refused })
  restoration.clear()
  // Settings come last: with some of them, routes would be refused that were there before they were set.
  applySysctls(stack.sysctl, new Map())
  restoration.run()
  for (const { name, error } of applySysctls(stack.sysctl, new Map(model.sysctls))) {
    refused({ path: `sysctls["${name}"]`, error })
  }
}

/**
 * Runs a script of `ip -batch`, such as `saveBatch` gives, on a new stack with the same devices; comments of the
 * form `# sysctl -w NAME=VALUE` are settings.
 * @throws ConfigurationError at the first line that is refused
 */
export function loadBatch(stack: Stack, text: string): void {
  const { status, stderr } = ipBatch(stack, text)
  if (status !== 0) {
    const line = /^Command failed -:(\d+)$/m.exec(stderr)?.[1]
    const message = stderr.replace(/^Command failed .*$/m, '').trim()
    throw refusal(line === undefined ? '' : `line ${line}`, message, undefined)
  }
  text.split('\n').forEach((line, index) => {
    const match = /^# sysctl -w ([^=\s]+)=(?:'([^']*)'|(\S*))$/.exec(line)
    if (match === null) return
    try {
      stack.sysctl.set(match[1]!, match[2] ?? match[3]!)
    } catch (error) {
      throw refusal(`line ${index + 1}`, (error as Error).message, error)
    }
  })
}

function refuse({ path, error }: Refusal): never {
  throw refusal(path, error.message, error)
}

function refusal(path: string, message: string, cause: unknown): ConfigurationError {
  return new ConfigurationError('ERR_CONFIGURATION_REFUSED', path, message, { cause })
}

function parse(configuration: StackConfiguration | string): unknown {
  if (typeof configuration !== 'string') return configuration
  try {
    return JSON.parse(configuration)
  } catch (cause) {
    throw new ConfigurationError('ERR_CONFIGURATION_INVALID', '', `no JSON: ${(cause as Error).message}`, {
      cause,
    })
  }
}
