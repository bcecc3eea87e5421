/** Runs steps on both sides and says where they differ. */
import { compare } from './differences.ts'
import type { KernelOracle } from './kernel-oracle.ts'
import { comparable, describePacket } from './outcome.ts'
import type { Scenario, Setup, Step } from './scenario.ts'
import type { StackSide } from './stack-side.ts'

/** Both sides as the setup has it. */
export async function configure(kernel: KernelOracle, stack: StackSide, setup: Setup): Promise<void> {
  await kernel.configure(setup)
  await stack.configure(setup)
}

/** Lines that say what differs; none if nothing does. */
export async function runStep(
  kernel: KernelOracle,
  stack: StackSide,
  step: Step,
  setup: Setup,
): Promise<string[]> {
  const names = kernel.counterNames
  const theirs = comparable(await kernel.run(step), step.packets, names)
  const ours = comparable(stack.run(step), step.packets, names)
  const lines = compare(theirs, ours, step, setup, kernel.noTrace === undefined)
  if (lines.length === 0) return lines
  const packets = step.packets
    .slice(0, 10)
    .map(({ device, bytes }) => `    ${device} < ${describePacket(bytes)}`)
  return [`${step.title}:`, ...packets, ...lines.map((line) => `    ${line}`)]
}

/** All steps of a scenario, in a namespace and a stack of their own. */
export async function runScenario(
  kernel: KernelOracle,
  stack: StackSide,
  scenario: Scenario,
): Promise<string[]> {
  await configure(kernel, stack, scenario.setup)
  const lines: string[] = []
  for (const step of scenario.steps) lines.push(...(await runStep(kernel, stack, step, scenario.setup)))
  return lines
}
