/** The ways of longest-prefix match that are compared; the first is the one that `lib/` has. */
import { FibTrie } from '../../lib/route/fib-trie.ts'
import { BinaryTrie } from './binary-trie.ts'
import type { Candidate } from './candidate.ts'
import { Dir24 } from './dir-24-8.ts'
import { LcTrie } from './lc-trie.ts'
import { PatriciaTrie } from './patricia-trie.ts'
import { Poptrie } from './poptrie.ts'

export const CANDIDATES: Readonly<Record<string, () => Candidate>> = {
  'tree bitmap + index (lib)': () => new FibTrie(),
  'tree bitmap': () => new FibTrie(Number.POSITIVE_INFINITY),
  'LC-trie': () => new LcTrie(),
  poptrie: () => new Poptrie(),
  'DIR-24-8': () => new Dir24(),
  Patricia: () => new PatriciaTrie(),
  'binary trie': () => new BinaryTrie(),
}
