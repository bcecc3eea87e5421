/** `npm run bench`: runs the benchmarks that were asked for, one after the other, and prints one table. */
import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { cpus, release } from 'node:os'
import { resolve } from 'node:path'
import type { Benchmark, Plan } from './benchmark.ts'
import { bulk } from './bulk.ts'
import { device } from './device.ts'
import { echo } from './echo.ts'
import { fib } from './fib.ts'
import { Figures } from './figure.ts'
import { forward } from './forward.ts'
import { gateway } from './gateway.ts'
import { http } from './http.ts'
import { memory, micro } from './micro.ts'
import { HELP, parseOptions } from './options.ts'
import { table } from './table.ts'
import { tcp } from './tcp.ts'

const BENCHMARKS: readonly Benchmark[] = [echo, forward, bulk, tcp, http, device, micro, memory, fib, gateway]

/** Load from which on the machine is not taken to be quiet. */
const BUSY = 0.5

function load(): number {
  return Number(readFileSync('/proc/loadavg', 'utf8').split(' ')[0])
}

function machine(): string {
  const ping = spawnSync('ping', ['-V'], { encoding: 'utf8' }).stdout?.trim() ?? 'no ping'
  return `${cpus().length} × ${cpus()[0]?.model.trim()}; Linux ${release()}; Node ${process.version}; ${ping.split('\n')[0]}`
}

async function main(): Promise<void> {
  const options = parseOptions(
    process.argv.slice(2),
    BENCHMARKS.map(({ name }) => name),
  )
  if (options === null) return console.log(HELP)
  const chosen = BENCHMARKS.filter(({ name, onlyIfAsked }) =>
    options.only.length === 0 ? onlyIfAsked !== true : options.only.includes(name),
  )
  if (chosen.some(({ needsRoot }) => needsRoot) && process.getuid?.() !== 0) {
    throw new Error(
      'echo, forward, bulk, tcp, http and device make network namespaces and TUN devices, which needs root: sudo npm run bench',
    )
  }
  const plan: Plan = {
    rounds: options.repeats,
    quick: options.quick,
    nodeOptions:
      options.profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${resolve(options.profile)}`],
    progress: (text) =>
      process.stderr.write(
        `${process.stderr.isTTY ? '\r\x1b[K' : ''}${text}${process.stderr.isTTY ? '' : '\n'}`,
      ),
  }
  const before = load()
  const figures = new Figures()
  for (const benchmark of chosen) await benchmark.run(figures, plan)
  plan.progress('')

  console.log(`\n${machine()}\n${plan.rounds} rounds; load before ${before}, after ${load()}`)
  if (before > BUSY) console.log('The machine was not idle: what else ran is in these figures.')
  if (options.profile !== undefined) console.log('With --profile: the profiler is in these figures.')
  if (plan.quick) console.log('--quick: sizes too small to mean anything.')
  console.log(`\n${table(figures.all)}`)
  if (options.json !== undefined) {
    const all = figures.all.map(({ samples, ...figure }) => ({
      ...figure,
      samples: Object.fromEntries(samples),
    }))
    writeFileSync(
      options.json,
      `${JSON.stringify({ machine: machine(), ...options, figures: all }, null, 2)}\n`,
    )
  }
}

try {
  await main()
} catch (error) {
  console.error((error as Error).message)
  process.exitCode = 1
}
