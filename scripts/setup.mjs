/**
 * Makes a fresh clone ready: npm packages, Debian packages, the TUN driver. `npm test` and `npm run demo` call
 * it themselves; each step looks first and does nothing if nothing is to be done. Until it has run there is no
 * node_modules, so this file and what it imports use Node alone.
 */
import { spawnSync } from 'node:child_process'
import { readFileSync, realpathSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ensure, MissingPackages, NEEDED_FOR } from './debian-packages.mjs'

export const ROOT = dirname(dirname(fileURLToPath(import.meta.url)))

/** A set-up step that failed, in a sentence for whoever ran the command. */
export class SetupError extends Error {
  name = 'SetupError'
}

function readJson(path) {
  try {
    return JSON.parse(readFileSync(path, 'utf8'))
  } catch {
    return undefined
  }
}

function run(command, args) {
  console.log(`> ${command} ${args.join(' ')}`)
  const { status, error, signal } = spawnSync(command, args, {
    cwd: ROOT,
    stdio: 'inherit',
    timeout: 10 * 60_000,
  })
  if (error !== undefined) throw new SetupError(`cannot run ${command}: ${error.message}`)
  if (status !== 0)
    throw new SetupError(`'${command} ${args.join(' ')}' failed (${signal ?? `exit status ${status}`})`)
}

function checkNode() {
  const { engines } = readJson(join(ROOT, 'package.json'))
  const [major, minor] = engines.node.replace(/^>=/, '').split('.').map(Number)
  const [ourMajor, ourMinor] = process.versions.node.split('.').map(Number)
  if (ourMajor < major || (ourMajor === major && ourMinor < minor)) {
    throw new SetupError(`Node ${engines.node} is needed, this is ${process.version} (${process.execPath})`)
  }
}

/** True if node_modules holds what package-lock.json says, version for version (optional ones aside). */
export function npmPackagesAreThere(root = ROOT) {
  const wanted = readJson(join(root, 'package-lock.json'))?.packages
  const installed = readJson(join(root, 'node_modules', '.package-lock.json'))?.packages
  if (wanted === undefined || installed === undefined) return false
  return Object.entries(wanted).every(
    ([path, { version, optional }]) =>
      path === '' || optional === true || installed[path]?.version === version,
  )
}

/**
 * npm's install scripts are never needed (every binary comes as an optional package of its own), so they don't
 * run. `npm ci` would empty node_modules first; that is for a clone that has none.
 */
function installNpmPackages() {
  if (npmPackagesAreThere()) return
  const fresh = readJson(join(ROOT, 'node_modules', '.package-lock.json')) === undefined
  run('npm', [fresh ? 'ci' : 'install', '--ignore-scripts', '--no-audit', '--no-fund'])
}

/**
 * @param {object} [options]
 * @param {string[]} [options.debian] packages of scripts/debian-packages.mjs beyond what the driver needs
 * @param {boolean} [options.addon] whether the TUN driver is wanted; true by default
 * @throws SetupError, MissingPackages
 */
export function setup({ debian = [], addon = true } = {}) {
  checkNode()
  installNpmPackages()
  const driver = addon && process.platform === 'linux'
  ensure([...(driver ? NEEDED_FOR.addon : []), ...debian])
  if (driver) run(process.execPath, ['scripts/build-native.mjs'])
}

/** Runs a set-up and ends the process with a plain sentence, not a stack trace, if it fails. */
export function setupOrExit(options) {
  try {
    setup(options)
  } catch (error) {
    if (!(error instanceof SetupError || error instanceof MissingPackages)) throw error
    console.error(`\n${error.message}`)
    process.exit(1)
  }
}

if (process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  setupOrExit({ debian: [...NEEDED_FOR.integration, ...NEEDED_FOR.demo] })
}
