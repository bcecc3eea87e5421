/**
 * The sum of the Internet checksum by WebAssembly, 64 bytes at a time with 128-bit vectors, for long runs of bytes:
 * they are copied into the module's memory first, and that still wins (docs/performance.md). The module is made
 * when it is first needed. Where a runtime has no WebAssembly, no vectors, or forbids it, this says so, and the sum
 * is taken in plain JavaScript.
 */
import { CHECKSUM_MODULE } from './checksum-simd-module.ts'

/** As much of the runtime's `WebAssembly` as is used; not every runtime has it. */
declare const WebAssembly:
  | {
      Module: new (bytes: Uint8Array<ArrayBuffer>) => object
      Instance: new (module: object) => { exports: unknown }
    }
  | undefined

interface Exports {
  readonly memory: { readonly buffer: ArrayBuffer }
  sum(length: number): number
}

/** The module's two pages, less the zeroes that it writes behind the data; also what its lanes can hold. */
const LONGEST = 131_056

let exports: Exports | null = null
let memory = new Uint8Array(0)
let tried = false

function instantiate(): Exports | null {
  tried = true
  if (typeof WebAssembly === 'undefined') return null
  try {
    const bytes = new Uint8Array(CHECKSUM_MODULE.length / 2)
    for (let i = 0; i < bytes.length; i++)
      bytes[i] = Number.parseInt(CHECKSUM_MODULE.slice(2 * i, 2 * i + 2), 16)
    exports = new WebAssembly.Instance(new WebAssembly.Module(bytes)).exports as Exports
    memory = new Uint8Array(exports.memory.buffer)
  } catch {
    exports = null // no vectors in this runtime, or a policy that allows no WebAssembly
  }
  return exports
}

/** The folded sum of `bytes[start…end)` as big-endian 16-bit words; -1 if it can't be taken this way. */
export function sumSimd(bytes: Uint8Array, start: number, end: number): number {
  const length = end - start
  const module = tried ? exports : instantiate()
  // Behind the end of an array whose buffer was transferred there is nothing to copy.
  if (module === null || length > LONGEST || end > bytes.length) return -1
  // The view is garbage at once; what it costs is part of the crossover that was measured.
  memory.set(length === bytes.length ? bytes : bytes.subarray(start, end))
  const sum = module.sum(length)
  return ((sum & 0xff) << 8) | (sum >>> 8)
}
