/**
 * `npm run build`: lib/ becomes dist/ (ES modules and their types), from nothing each time. With `--prebuild`,
 * as `npm pack` does it, the TUN driver is compiled too, so that whoever installs the package needs no compiler.
 */
import { spawnSync } from 'node:child_process'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { ROOT } from './setup.mjs'

function run(...args) {
  // npm shows the output of `prepack` before its own, which `npm pack --json` would mix up: so it goes to stderr
  const { status } = spawnSync(process.execPath, args, { cwd: ROOT, stdio: ['ignore', 2, 2] })
  if (status !== 0) process.exit(status ?? 1)
}

rmSync(join(ROOT, 'dist'), { recursive: true, force: true })
run('node_modules/typescript/bin/tsc', '-p', 'tsconfig.build.json')
if (process.argv.includes('--prebuild')) run('scripts/build-native.mjs', '--prebuild')
