/**
 * The kernel as oracle for packets: each scenario's packets go to a network namespace and to a stack of the same
 * configuration, and what comes back, the counters, the counts of the devices, the reasons of drops and the
 * decisions learnt have to be alike. What may differ, and why, is in differences.ts.
 */
import { KernelOracle } from './kernel-oracle.ts'
import { runScenario } from './run.ts'
import { SCENARIOS } from './scenarios.ts'
import { StackSide } from './stack-side.ts'

describe('the stack beside the kernel: scenarios', function () {
  this.timeout(30_000)

  const kernel = new KernelOracle()
  const stack = new StackSide()

  before(async () => {
    await kernel.start()
    if (kernel.noTrace !== undefined) console.log(`      drop reasons are not compared: ${kernel.noTrace}`)
  })

  after(async () => {
    await kernel.stop()
    await stack.stop()
  })

  for (const scenario of SCENARIOS) {
    const ids = scenario.steps.flatMap(
      ({ title }) => /\(([a-z]+-[a-z0-9, -]+)\)$/.exec(title)?.[1]?.split(', ') ?? [],
    )
    const covered = ids.length === 0 ? '' : ` [${[...new Set(ids)].join(' ')}]`
    it(`${scenario.name}${covered}`, async () => {
      const differences = await runScenario(kernel, stack, scenario)
      // What depends on the machine's timing does not happen twice; what is wrong does.
      if (differences.length > 0) {
        const again = await runScenario(kernel, stack, scenario)
        if (again.length > 0) throw new Error(again.join('\n'))
      }
    })
  }
})
