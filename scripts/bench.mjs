/**
 * `npm run bench`: set-up, then the benchmarks (bench/main.ts) on compiled code. lib/ and bench/ are compiled as
 * for the npm package, into node_modules/.cache, and so are the reference programs in C.
 */
import { spawnSync } from 'node:child_process'
import { mkdirSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { NEEDED_FOR } from './debian-packages.mjs'
import { ROOT, setupOrExit } from './setup.mjs'

const OUT = join(ROOT, 'node_modules/.cache/tunstack-bench')

function run(command, args) {
  const { status } = spawnSync(command, args, { cwd: ROOT, stdio: ['ignore', 2, 2] })
  if (status !== 0) process.exit(status ?? 1)
}

function compile() {
  rmSync(OUT, { recursive: true, force: true })
  mkdirSync(join(OUT, 'bench/native'), { recursive: true })
  writeFileSync(join(OUT, 'package.json'), '{ "type": "module" }\n')
  symlinkSync(join(ROOT, 'native'), join(OUT, 'native'))
  run(process.execPath, ['node_modules/typescript/bin/tsc', '-p', 'bench/tsconfig.json'])
  for (const file of readdirSync(join(ROOT, 'bench/native')).filter((name) => name.endsWith('.c'))) {
    const program = join(OUT, 'bench/native', basename(file, '.c'))
    run('cc', ['-O2', '-Wall', '-o', program, join(ROOT, 'bench/native', file)])
  }
}

setupOrExit({ debian: process.platform === 'linux' ? NEEDED_FOR.bench : [] })
compile()
const { status, signal } = spawnSync(
  process.execPath,
  [join(OUT, 'bench/main.js'), ...process.argv.slice(2)],
  {
    cwd: ROOT,
    stdio: 'inherit',
  },
)
if (signal !== null) console.error(`the benchmarks were ended by ${signal}`)
process.exitCode = status ?? 1
