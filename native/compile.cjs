/**
 * Builds the TUN addon: one call of the C compiler, no node-gyp. Used by scripts/build-native.mjs and, where no
 * binary is there yet, by the loader in lib/device/tun. CommonJS so that the loader can use it synchronously.
 * Errors carry `code`: ERR_TUN_NO_COMPILER, or ERR_TUN_NO_ADDON with what the compiler said.
 */
'use strict'

const { spawnSync } = require('node:child_process')
const { existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync } = require('node:fs')
const path = require('node:path')

const BUILT = path.join(__dirname, 'build', 'tun.node')

/**
 * What the npm package has a binary for. No libc is named: the addon links none (see FLAGS), and finds the few
 * functions of it that it calls in the running process, be that glibc or musl.
 */
const TARGETS = {
  x64: { compiler: 'x86_64-linux-gnu-gcc', debian: 'gcc-x86-64-linux-gnu' },
  arm64: { compiler: 'aarch64-linux-gnu-gcc', debian: 'gcc-aarch64-linux-gnu libc6-dev-arm64-cross' },
}

/**
 * -nostdlib: no library is named in the binary, and no symbol has a version, so that it loads into a Node on glibc
 * or musl, old or new. -s: without the compiler's notes.
 */
const FLAGS = ['-shared', '-fPIC', '-O2', '-s', '-Wall', '-Wextra', '-nostdlib', '-DNAPI_VERSION=8']

/** `linux-x64`: what a prebuilt binary's folder is called. */
function platformTag(arch = process.arch) {
  return `${process.platform}-${arch}`
}

function prebuiltPath(root = path.dirname(__dirname), arch = process.arch) {
  return path.join(root, 'prebuilds', platformTag(arch), 'tun.node')
}

function sources() {
  return readdirSync(__dirname)
    .filter((name) => /\.[ch]$/.test(name))
    .map((name) => path.join(__dirname, name))
    .sort()
}

/** True if `binary` is missing or older than a source file. */
function isStale(binary) {
  const built = statSync(binary, { throwIfNoEntry: false })
  return built === undefined || sources().some((file) => statSync(file).mtimeMs > built.mtimeMs)
}

/** The compiler's command line, or null. `CC` alone decides if it is set, but not for another architecture. */
function findCompiler(env = process.env, arch = process.arch) {
  const own = env.CC ? [env.CC] : ['cc', 'gcc', 'clang']
  const candidates = arch === process.arch ? own : [TARGETS[arch].compiler]
  for (const candidate of candidates) {
    const words = candidate.trim().split(/\s+/)
    const { status } = spawnSync(words[0], [...words.slice(1), '--version'], { env, stdio: 'ignore' })
    if (status === 0) return words
  }
  return null
}

/** Where node_api.h is: the package node-api-headers, or the headers that a Node installation brings. */
function findHeaders() {
  const folders = [
    path.join(path.dirname(path.dirname(process.execPath)), 'include', 'node'),
    '/usr/include/node',
  ]
  try {
    folders.unshift(require('node-api-headers').include_dir)
  } catch {
    // not installed: a user's package, not a checkout
  }
  return folders.find((folder) => existsSync(path.join(folder, 'node_api.h'))) ?? null
}

function failure(code, message) {
  return Object.assign(new Error(message), { code })
}

function noCompiler(env, arch) {
  if (arch !== process.arch) {
    const { compiler, debian } = TARGETS[arch]
    return failure('ERR_TUN_NO_COMPILER', `no ${compiler}: Debian has it as '${debian}'`)
  }
  const sought = env.CC
    ? `CC is '${env.CC}', which does not run`
    : 'none of cc, gcc and clang was found in PATH'
  return failure(
    'ERR_TUN_NO_COMPILER',
    `no C compiler: ${sought}. Install one ('apt-get install gcc libc6-dev', 'apk add gcc musl-dev') or set CC`,
  )
}

/**
 * Compiles the addon to `output` (native/build/tun.node unless given) for `arch` and returns that path.
 * The file appears in one step, so that processes that build at the same time do not disturb each other.
 */
function build({ output = BUILT, env = process.env, arch = process.arch } = {}) {
  if (process.platform !== 'linux') {
    throw failure('ERR_TUN_UNSUPPORTED_PLATFORM', `TUN devices need Linux; this is ${process.platform}`)
  }
  const compiler = findCompiler(env, arch)
  if (compiler === null) throw noCompiler(env, arch)
  const headers = findHeaders()
  if (headers === null) {
    throw failure(
      'ERR_TUN_NO_ADDON',
      "node_api.h was not found: run 'npm install node-api-headers' and try again",
    )
  }
  const temporary = `${output}.${process.pid}.tmp`
  const flags = [...FLAGS, `-I${headers}`]
  const files = sources().filter((file) => file.endsWith('.c'))
  try {
    mkdirSync(path.dirname(output), { recursive: true })
    const command = [...compiler.slice(1), ...flags, '-o', temporary, ...files, '-lgcc']
    const { status, stderr, error } = spawnSync(compiler[0], command, { env, encoding: 'utf8' })
    if (status !== 0) {
      throw failure(
        'ERR_TUN_NO_ADDON',
        `${compiler[0]} could not build the TUN addon: ${error ?? stderr.trim()}`,
      )
    }
    renameSync(temporary, output)
  } catch (error) {
    rmSync(temporary, { force: true })
    throw error
  }
  return output
}

module.exports = { BUILT, TARGETS, build, findCompiler, isStale, platformTag, prebuiltPath }
