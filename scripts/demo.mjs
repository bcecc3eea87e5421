/** `npm run demo`: makes the checkout ready, then shows the stack on a real TUN device (scripts/demo/run.ts). */
import { spawnSync } from 'node:child_process'
import { NEEDED_FOR } from './debian-packages.mjs'
import { ROOT, setupOrExit } from './setup.mjs'

if (process.platform !== 'linux' || process.getuid() !== 0) {
  console.error(
    'The demo makes a network namespace and a TUN device, so it needs root on Linux: sudo npm run demo',
  )
  process.exit(1)
}
setupOrExit({ debian: NEEDED_FOR.demo })
const { status, signal } = spawnSync(
  process.execPath,
  ['--import', 'tsx', 'scripts/demo/run.ts', ...process.argv.slice(2)],
  { cwd: ROOT, stdio: 'inherit' },
)
if (signal !== null) console.error(`the demo was ended by ${signal}`)
process.exitCode = status ?? 1
