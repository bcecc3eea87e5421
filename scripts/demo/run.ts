/**
 * The demonstration: what a loopback device is, shown in a stack beside a kernel, and then the kernel's ping
 * answered by the stack. Started by scripts/demo.mjs in a network namespace of its own: nothing here touches the
 * machine's network, and everything is gone when this process is, whatever ends it.
 */
import { showLoopback } from './loopback.ts'
import { Kernel, killPrograms } from './programs.ts'
import { Report } from './report.ts'
import { showTun } from './tun.ts'

for (const [signal, number] of [
  ['SIGINT', 2],
  ['SIGTERM', 15],
  ['SIGHUP', 1],
] as const) {
  process.on(signal, () => {
    killPrograms()
    console.log(`\nFAIL: interrupted by ${signal}`)
    process.exit(128 + number)
  })
}

const started = performance.now()
const report = new Report()
console.log('tunstack: a TCP/IP stack in TypeScript that behaves like Linux, shown beside Linux.')
try {
  const [here, another] = [Kernel.here(), await Kernel.another()]
  await showLoopback(report, another)
  await another.close()
  await showTun(report, here)
} catch (error) {
  report.check(false, 'the demonstration ran to its end', (error as Error).message)
} finally {
  killPrograms()
}
process.exitCode = report.verdict((performance.now() - started) / 1000) ? 0 : 1
