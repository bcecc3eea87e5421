/**
 * Builds the TUN addon if its source is newer: `node scripts/build-native.mjs [--prebuild] [--force]`.
 * `--prebuild` puts it to prebuilds/linux-<arch>-<libc>/tun.node, where the npm package carries it.
 */
import { createRequire } from 'node:module'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

const { BUILT, build, isStale, platformTag, prebuiltPath } = createRequire(import.meta.url)(
  '../native/compile.cjs',
)

/** Returns `{ file, built }`; throws an error with `code` ERR_TUN_NO_COMPILER, ERR_TUN_NO_ADDON or ERR_TUN_UNSUPPORTED_PLATFORM. */
export function buildNative({ prebuild = false, force = false } = {}) {
  const file = prebuild ? prebuiltPath() : BUILT
  if (!force && !isStale(file)) return { file, built: false }
  return { file: build({ output: file }), built: true }
}

if (process.argv[1] !== undefined && path.resolve(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const known = new Set(['--prebuild', '--force'])
  const unknown = process.argv.slice(2).find((word) => !known.has(word))
  if (unknown !== undefined) {
    console.error(`build-native: unknown option ${unknown}; it takes --prebuild and --force`)
    process.exit(2)
  }
  try {
    const { file, built } = buildNative({
      prebuild: process.argv.includes('--prebuild'),
      force: process.argv.includes('--force'),
    })
    console.log(`${built ? 'built' : 'up to date:'} ${path.relative(process.cwd(), file)} (${platformTag()})`)
  } catch (error) {
    if (typeof error.code !== 'string') throw error
    console.error(`build-native: ${error.code}: ${error.message}`)
    process.exit(1)
  }
}
