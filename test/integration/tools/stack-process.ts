/** A stack in a program of its own (stack-program.ts), as a test uses it: configured, started, asked, ended. */
import type { Namespace, Process } from '../netns.ts'
import type { Request, Response, StackConfig } from './stack-config.ts'
import type { Methods } from './stack-program.ts'

/** ms until an answer must be there. */
const PATIENCE = 60_000

type Result<T> = Awaited<T extends void ? null : T>

export class StackProcess {
  readonly process: Process
  #next = 1

  private constructor(process: Process) {
    this.process = process
  }

  /** Starts a stack whose TUN devices are made in `namespace`, and waits until it is ready. */
  static async start(
    namespace: Namespace,
    config: StackConfig,
    nodeOptions: readonly string[] = [],
  ): Promise<StackProcess> {
    const args = [JSON.stringify(config)]
    const file = 'test/integration/tools/stack-program.ts'
    const options = { ready: /^ready\n/m, env: { NODE_OPTIONS: '' } }
    if (nodeOptions.length === 0) return new StackProcess(await namespace.startScript(file, args, options))
    const command = [process.execPath, ...nodeOptions, '--import', 'tsx', file, ...args]
    return new StackProcess(await namespace.start(command, options))
  }

  /** Has the program do something, and gives what came of it. @throws Error with the `code` that it had there */
  async call<M extends keyof Methods>(
    method: M,
    ...args: Parameters<Methods[M]>
  ): Promise<Result<ReturnType<Methods[M]>>> {
    const id = this.#next++
    const request: Request = { id, method, args }
    this.process.write(`${JSON.stringify(request)}\n`)
    const [, answer] = await this.process.waitFor(new RegExp(`^${id} (.*)\\n`, 'm'), PATIENCE)
    const response = JSON.parse(answer!) as Response
    if ('error' in response) {
      throw Object.assign(new Error(`${method}: ${response.error.message}`), { code: response.error.code })
    }
    return response.result as Result<ReturnType<Methods[M]>>
  }

  /** The counters that moved during `action`, and by how much. */
  async moved(action: () => Promise<unknown>): Promise<Record<string, number>> {
    const before = await this.call('counters')
    await action()
    const after = await this.call('counters')
    const changes = Object.entries(after).map(([name, n]): [string, number] => [
      name,
      n - (before[name] ?? 0),
    ])
    return Object.fromEntries(changes.filter(([, change]) => change !== 0))
  }
}
