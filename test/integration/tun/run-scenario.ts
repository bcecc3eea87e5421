/**
 * Runs a scenario as root in a network namespace of its own: a new process (`unshare --net`) that takes the
 * namespace with it when it ends, so that nothing is left to clean up. A scenario passes if its process ends by
 * itself, with status 0, within its time: whatever keeps the event loop alive too long is a failure too.
 */
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const CHILD = fileURLToPath(new URL('./scenario.ts', import.meta.url))

export interface ScenarioOptions {
  /** Milliseconds. */
  timeout?: number
  env?: NodeJS.ProcessEnv
}

/** Rejects with everything that the scenario wrote if it fails. Returns its standard output. */
export function runScenario(
  name: string,
  { timeout = 30_000, env = process.env }: ScenarioOptions = {},
): Promise<string> {
  const command = ['--net', process.execPath, '--expose-gc', '--import', 'tsx', CHILD, name]
  const child = spawn('unshare', command, { env, stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  let errors = ''
  child.stdout.on('data', (text) => (output += text))
  child.stderr.on('data', (text) => (errors += text))
  return new Promise((resolve, reject) => {
    let late = false
    const timer = setTimeout(() => {
      late = true
      child.kill('SIGKILL')
    }, timeout)
    child.on('error', reject)
    child.on('close', (status, signal) => {
      clearTimeout(timer)
      if (status === 0) resolve(output)
      else if (late) reject(new Error(`'${name}' did not end within ${timeout} ms\n${output}${errors}`))
      else reject(new Error(`'${name}' ended with ${signal ?? status}\n${output}${errors}`))
    })
  })
}
