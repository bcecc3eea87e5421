/**
 * Which part of the library may import which: the one place that says so. Imports point downwards, type
 * imports too.
 */

/**
 * The parts of lib/, top to bottom. A part is a folder or a file of lib/; one that lies inside another (as
 * `device/tun`) is a part of its own. A part may import those below it, and beside it as long as no cycle
 * comes of that.
 */
export const ORDER: readonly (readonly string[])[] = [
  ['cli', 'node'],
  ['device/tun'],
  ['index.ts'],
  ['sim'],
  ['configuration'],
  ['iproute2'],
  ['stack'],
  ['raw'],
  ['ping', 'udp', 'tcp'],
  ['ipv4', 'ipv6'],
  ['route'],
  ['sysctl'],
  ['device'],
  ['observe'],
  ['demux', 'offload'],
  ['packet'],
  ['wire'],
  ['address', 'time', 'random', 'collections', 'units.ts'],
  ['errors.ts'],
]

/** The parts that need Node. Everything else is the core and runs wherever JavaScript does. */
export const NEEDS_NODE: readonly string[] = ['cli', 'node', 'device/tun']

/** The npm packages that lib/ may import. */
export const PACKAGES: readonly string[] = ['ip-num', 'buffer-layout']

/** Packages that one part may import besides. */
export const PACKAGES_OF: Readonly<Record<string, readonly string[]>> = {
  'device/tun': ['koffi'],
  node: ['dns-packet'],
}

/**
 * What the core never names, even as a name of its own: what a runtime may lack, and what makes a run differ
 * from the one before.
 */
export const FORBIDDEN_IN_CORE: readonly string[] = [
  'Buffer',
  'process',
  'require',
  'global',
  'globalThis',
  'window',
  'self',
  'console',
  'crypto',
  'performance',
  'setTimeout',
  'setInterval',
  'setImmediate',
  'clearTimeout',
  'clearInterval',
  'clearImmediate',
  'queueMicrotask',
  'structuredClone',
  'TextEncoder',
  'TextDecoder',
  'Math.random',
  'Date',
]

/** The two files by which the core reaches the runtime's clock and randomness, for who hands in none. */
export const EXCEPTIONS: Readonly<Record<string, readonly string[]>> = {
  'time/system-clock.ts': ['globalThis', 'performance', 'setTimeout', 'clearTimeout', 'setImmediate'],
  'random/random.ts': ['globalThis', 'crypto'],
}

/** Forbidden in every file of lib/. */
export const FORBIDDEN_IN_LIB: readonly string[] = ['Math.random']

/**
 * What the folders beside lib/ may import of it: its public entries (the `exports` and `bin` of package.json),
 * or any module.
 */
export const OUTSIDE: Readonly<Record<string, 'entries' | 'any'>> = {
  examples: 'entries',
  scripts: 'entries',
  bench: 'any',
  test: 'any',
}
