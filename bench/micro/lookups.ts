/**
 * Longest-prefix match: the stack's FIB (rules, tables, scope and all), and a Map per prefix length, tried from
 * the longest on, which is what one writes without a trie.
 */
import { formatIpv4, ipv4Mask } from '../../lib/address/ipv4-address.ts'
import { createPipe, Stack, seededRandom } from '../../lib/index.ts'
import { Random } from '../../lib/random/random.ts'
import { FibResult } from '../../lib/route/fib-types.ts'
import { Flow4 } from '../../lib/route/flow.ts'
import { nanoseconds, type Timing } from './timing.ts'

interface Prefix {
  address: number
  length: number
}

const ASKED = 4096

/** Lengths as they are in the Internet's table, roughly: mostly /24, then /22, /20, /16. */
const LENGTHS = [24, 24, 24, 24, 24, 24, 22, 22, 20, 16]

function prefixes(count: number): Prefix[] {
  const random = new Random(seededRandom(count))
  const found = new Map<string, Prefix>()
  while (found.size < count) {
    const length = LENGTHS[(random.int32() >>> 0) % LENGTHS.length]!
    const address = (0x0b000000 + ((random.int32() >>> 0) % 0x70000000)) & ipv4Mask(length)
    if (address >>> 24 === 127) continue
    found.set(`${address}/${length}`, { address, length })
  }
  return [...found.values()]
}

/** Addresses within the prefixes, in an order that no cache knows. */
function destinations(list: readonly Prefix[]): Int32Array {
  const random = new Random(seededRandom(1))
  return Int32Array.from({ length: ASKED }, () => {
    const { address, length } = list[(random.int32() >>> 0) % list.length]!
    return address | (random.int32() & ~ipv4Mask(length))
  })
}

export function trie(count: number): (timing: Timing) => number {
  return (timing) => {
    const list = prefixes(count)
    const stack = new Stack()
    const nic = stack.addDevice(createPipe({ names: ['eth0', 'eth0'] })[0]).addAddress('10.0.0.1/24')
    void nic
    for (const { address, length } of list) stack.routes.add(`${formatIpv4(address)}/${length} via 10.0.0.2`)
    const asked = destinations(list)
    const { fib } = stack.routing
    const flow = new Flow4()
    const result = new FibResult()
    return nanoseconds((n) => {
      let total = 0
      for (let i = 0; i < n; i++) {
        flow.reset()
        flow.daddr = asked[i & (ASKED - 1)]!
        result.reset()
        if (fib.lookup(flow, result) !== 0) throw new Error('a prefix is not found')
        total += result.prefixLength
      }
      return total
    }, timing)
  }
}

export function maps(count: number): (timing: Timing) => number {
  return (timing) => {
    const list = prefixes(count)
    const byLength = Array.from({ length: 33 }, () => new Map<number, Prefix>())
    for (const prefix of list) byLength[prefix.length]!.set(prefix.address, prefix)
    const asked = destinations(list)
    const masks = Int32Array.from({ length: 33 }, (_, length) => ipv4Mask(length))
    return nanoseconds((n) => {
      let total = 0
      for (let i = 0; i < n; i++) {
        const address = asked[i & (ASKED - 1)]!
        let found: Prefix | undefined
        for (let length = 32; found === undefined; length--)
          found = byLength[length]!.get(address & masks[length]!)
        total += found.length
      }
      return total
    }, timing)
  }
}
