/** What is allocated per echoed packet, and how large a stack is. Both need a heap that nobody tidies meanwhile. */
import { GCProfiler } from 'node:v8'
import { Stack } from '../../lib/index.ts'
import { answeringStack } from './echoes.ts'
import type { Timing } from './timing.ts'

/** Options of Node for the process that measures: young generation too large to fill, collections on demand. */
export const NODE_OPTIONS = ['--expose-gc', '--max-semi-space-size=256', '--min-semi-space-size=256']

export function collect(): void {
  const { gc } = globalThis as { gc?: () => void }
  if (gc === undefined) throw new Error('this needs node --expose-gc')
  gc()
}

/** Bytes of JavaScript heap per packet that is received, answered and sent. @throws Error if a collection ran */
export async function perEcho({ milliseconds }: Timing): Promise<number> {
  const { stack, echo } = answeringStack()
  await echo(milliseconds * 2000) // until the compiler is done with it
  const packets = milliseconds * 500
  collect()
  const profiler = new GCProfiler()
  profiler.start()
  const before = process.memoryUsage().heapUsed
  await echo(packets)
  const after = process.memoryUsage().heapUsed
  const { statistics } = profiler.stop()
  if (statistics.length > 0) throw new Error(`${statistics.length} collections ran while it was measured`)
  await stack.close()
  return (after - before) / packets
}

/** KiB of a stack without packets: heap and array buffers, the mean of many. */
export function stackSize({ milliseconds }: Timing): number {
  const count = Math.max(10, Math.min(100, Math.floor(milliseconds)))
  const stacks: Stack[] = [new Stack()]
  collect()
  const before = process.memoryUsage()
  for (let i = 0; i < count; i++) stacks.push(new Stack())
  collect()
  const after = process.memoryUsage()
  if (stacks.length !== count + 1) throw new Error('a stack is missing')
  return (after.heapUsed - before.heapUsed + after.arrayBuffers - before.arrayBuffers) / count / 1024
}
