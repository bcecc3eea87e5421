/**
 * Builds the TUN addon if its source is newer: `node scripts/build-native.mjs [--prebuild] [--force]`.
 * `--prebuild` builds to prebuilds/linux-<arch>/tun.node, where the npm package carries it: for this machine, and for
 * the other architectures whose compiler is here. Which were left out is said.
 */
import { createRequire } from 'node:module'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

const { BUILT, TARGETS, build, isStale, platformTag, prebuiltPath } = createRequire(import.meta.url)(
  '../native/compile.cjs',
)

/** Returns `{ file, built }`; throws an error with `code` ERR_TUN_NO_COMPILER, ERR_TUN_NO_ADDON or ERR_TUN_UNSUPPORTED_PLATFORM. */
export function buildNative({ prebuild = false, force = false, arch = process.arch } = {}) {
  const file = prebuild ? prebuiltPath(undefined, arch) : BUILT
  if (!force && !isStale(file)) return { file, built: false }
  return { file: build({ output: file, arch }), built: true }
}

function buildAndTell(options, tag) {
  const { file, built } = buildNative(options)
  console.log(`${built ? 'built' : 'up to date:'} ${path.relative(process.cwd(), file)} (${tag})`)
}

if (process.argv[1] !== undefined && path.resolve(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const known = new Set(['--prebuild', '--force'])
  const unknown = process.argv.slice(2).find((word) => !known.has(word))
  if (unknown !== undefined) {
    console.error(`build-native: unknown option ${unknown}; it takes --prebuild and --force`)
    process.exit(2)
  }
  const prebuild = process.argv.includes('--prebuild')
  const force = process.argv.includes('--force')
  const others = prebuild ? Object.keys(TARGETS).filter((arch) => arch !== process.arch) : []
  for (const arch of [process.arch, ...others]) {
    try {
      buildAndTell({ prebuild, force, arch }, platformTag(arch))
    } catch (error) {
      if (typeof error.code !== 'string') throw error
      if (arch === process.arch || error.code !== 'ERR_TUN_NO_COMPILER') {
        console.error(`build-native: ${error.code}: ${error.message}`)
        process.exit(1)
      }
      console.log(`not built: ${platformTag(arch)} (${error.message})`)
    }
  }
}
