/**
 * `npm run demo`: makes the checkout ready, then runs scripts/demo/run.ts in a network namespace of its own. With
 * root that is `unshare --net`; without, a user namespace is made as well, where the machine allows it.
 */
import { spawn, spawnSync } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import { NEEDED_FOR } from './debian-packages.mjs'
import { ROOT, setupOrExit } from './setup.mjs'

const NODE = '/dev/net/tun'

function stop(message) {
  console.error(`\nThe demo cannot run here: ${message}`)
  process.exit(1)
}

/** The command that makes a namespace. */
function namespace() {
  const root = process.getuid() === 0
  const unshare = ['unshare', ...(root ? [] : ['--user', '--map-root-user']), '--net']
  const { status, stderr } = spawnSync(unshare[0], [...unshare.slice(1), 'true'], { encoding: 'utf8' })
  if (status !== 0) {
    const why = stderr?.trim().split('\n').pop()
    stop(
      root
        ? `making a network namespace is not allowed (${why}). A container needs --cap-add SYS_ADMIN --cap-add NET_ADMIN --device ${NODE}.`
        : `this user may not make a user namespace with a network of its own (${why}). Run it as root: sudo npm run demo`,
    )
  }
  return unshare
}

function checkDeviceNode() {
  try {
    accessSync(NODE, constants.R_OK | constants.W_OK)
  } catch (error) {
    stop(
      error.code === 'ENOENT'
        ? `there is no ${NODE}. Load the driver with 'modprobe tun', or give it to the container with --device ${NODE}.`
        : `this user may not read and write ${NODE} (${error.code}). Run it as root, or allow it: chmod 0666 ${NODE}`,
    )
  }
}

if (process.platform !== 'linux') stop('it shows a TUN device of Linux, and this is no Linux.')
setupOrExit({ debian: NEEDED_FOR.demo })
checkDeviceNode()
const [file, ...words] = [...namespace(), 'setpriv', '--pdeathsig', 'KILL', process.execPath]
const demo = spawn(file, [...words, '--import', 'tsx', 'scripts/demo/run.ts'], {
  cwd: ROOT,
  stdio: 'inherit',
})
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => demo.kill(signal))
demo.on('error', (error) => stop(error.message))
demo.on('exit', (status, signal) => {
  if (signal !== null) console.error(`the demo was ended by ${signal}`)
  process.exitCode = status ?? 1
})
