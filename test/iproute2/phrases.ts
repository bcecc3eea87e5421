/** Parts of which generated commands are made: words, some of which may be missing, or one of several. */
import fc from 'fast-check'

export type Words = fc.Arbitrary<string>

export const oneOf = (...words: readonly string[]): Words => fc.constantFrom(...words)

/** All parts in order; what is empty leaves no space. */
export function phrase(...parts: readonly (Words | string)[]): Words {
  const arbitraries = parts.map((part) => (typeof part === 'string' ? fc.constant(part) : part))
  return fc.tuple(...arbitraries).map((words) => words.filter((word) => word !== '').join(' '))
}

/** The part in `percent` of the cases, else nothing; it shrinks to nothing. */
export function maybe(percent: number, part: Words | string): Words {
  const some = typeof part === 'string' ? fc.constant(part) : part
  return fc.oneof({ weight: 100 - percent, arbitrary: fc.constant('') }, { weight: percent, arbitrary: some })
}

/** Shrinks to the first. */
export function either(...parts: readonly (readonly [number, Words])[]): Words {
  return fc.oneof({ withCrossShrink: true }, ...parts.map(([weight, arbitrary]) => ({ weight, arbitrary })))
}
