import { comparable, describePacket } from './outcome.ts'
import { KernelOracle } from './kernel-oracle.ts'
import { SCENARIOS } from './scenarios.ts'
import { StackSide } from './stack-side.ts'
const only = process.argv[2]
const kernel = new KernelOracle()
const stack = new StackSide()
await kernel.start()
console.log('trace:', kernel.noTrace ?? 'yes')
let bad = 0, steps = 0
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
      let k, s
      try {
      k = comparable(await kernel.run(step), step.packets, kernel.counterNames)
      s = comparable(stack.run(step), step.packets, kernel.counterNames)
      } catch (e) { console.log('ERR', scenario.name, step.title, (e as Error).message); continue }
      steps++
      const lines: string[] = []
      for (const key of ['sent', 'counters', 'drops', 'links', 'routes'] as const) {
        if (k[key].join('\n') === s[key].join('\n')) continue
        const onlyK = k[key].filter((l) => !s[key].includes(l)), onlyS = s[key].filter((l) => !k[key].includes(l))
        lines.push(`   ${key}:`, ...onlyK.map((l) => `     K ${l.slice(0, 420)}`), ...onlyS.map((l) => `     S ${l.slice(0, 420)}`))
        if (onlyK.length + onlyS.length === 0) lines.push(`     order/count: K ${k[key].length} S ${s[key].length}`)
      }
      if (lines.length > 0) { bad++; badHere++; if (badHere < 80) console.log(`## ${scenario.name} / ${step.title}\n${lines.join('\n')}`) }
    }
    console.log(`== ${scenario.name}: ${badHere} of ${scenario.steps.length} differ; setup ${t2 - t} ms, all ${Date.now() - t} ms`)
    } catch (e) { console.log('ERR', scenario.name, (e as Error).stack) }
  }
} finally { await kernel.stop(); await stack.stop() }
console.log(bad, 'of', steps)
