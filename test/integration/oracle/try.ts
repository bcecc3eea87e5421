import { compare } from './differences.ts'
import { KernelOracle } from './kernel-oracle.ts'
import { comparable } from './outcome.ts'
import { SCENARIOS } from './scenarios.ts'
import { StackSide } from './stack-side.ts'

const only = process.argv[2]
const kernel = new KernelOracle()
const stack = new StackSide()
await kernel.start()
console.log('trace:', kernel.noTrace ?? 'yes')
let bad = 0,
  steps = 0
try {
  for (const scenario of SCENARIOS) {
    if (only !== undefined && !scenario.name.includes(only)) continue
    const t = Date.now()
    try {
      await kernel.configure(scenario.setup)
      await stack.configure(scenario.setup)
      const t2 = Date.now()
      let badHere = 0
      for (const step of scenario.steps) {
        let lines: string[]
        try {
          const k = comparable(await kernel.run(step), step.packets, kernel.counterNames)
          const s = comparable(stack.run(step), step.packets, kernel.counterNames)
          lines = compare(k, s, step, scenario.setup, kernel.noTrace === undefined)
        } catch (e) {
          console.log('ERR', scenario.name, step.title, (e as Error).message)
          continue
        }
        steps++
        if (lines.length > 0) {
          bad++
          badHere++
          if (badHere < 80)
            console.log(
              `## ${scenario.name} / ${step.title}\n${lines.map((l) => `    ${l.slice(0, 420)}`).join('\n')}`,
            )
        }
      }
      console.log(
        `== ${scenario.name}: ${badHere} of ${scenario.steps.length} differ; setup ${t2 - t} ms, all ${Date.now() - t} ms`,
      )
    } catch (e) {
      console.log('ERR', scenario.name, (e as Error).stack)
    }
  }
} finally {
  await kernel.stop()
  await stack.stop()
}
console.log(bad, 'of', steps)
