import { FibTrie } from '/work/main/lib/route/fib-trie.ts'
import { FibAlias, FibInfo } from '/work/main/lib/route/fib-types.ts'
import { TestHost } from '/work/main/test/route/test-host.ts'
import { Flow4 } from '/work/main/lib/route/flow.ts'
import { FibResult } from '/work/main/lib/route/fib-types.ts'
import { ipv4Mask } from '/work/main/lib/address/ipv4-address.ts'
import { Random } from '/work/main/lib/random/random.ts'
import { seededRandom } from '/work/main/lib/random/seeded.ts'
const r = new Random(seededRandom(1))
const host = new TestHost().up('lo','tun0').address('10.0.0.1/8','tun0')
const dev = host.device('tun0')
const N = 500_000
globalThis.gc?.()
let m0 = process.memoryUsage()
let t = performance.now()
let n = 0
// like BGP: 60% /24, rest /16../23, from 0x01.. to 0xdf
while (n < N) {
  const len = r.below(10) < 8 ? 24 : 18 + r.below(6)
  const p = (((1 + r.below(222)) << 24) | (r.int32() & 0xffffff)) & ipv4Mask(len)
  try { host.fib.addRoute({ prefix: p, prefixLength: len, gateway: (10<<24)|(2+ (n%64)), device: dev }); n++ } catch (e) { if ((e as {code:string}).code !== 'EEXIST') throw e }
}
console.log('insert', ((performance.now() - t)*1000/N).toFixed(2), 'us each')
globalThis.gc?.()
let m1 = process.memoryUsage()
console.log('bytes/route', ((m1.heapUsed+m1.arrayBuffers-m0.heapUsed-m0.arrayBuffers)/N).toFixed(0), 'trie', host.fib.table(254)!.trie.bytes / N)
const flow = new Flow4(); const res = new FibResult()
const q = Int32Array.from({length: 1<<20}, () => r.int32())
for (let k=0;k<3;k++){
t = performance.now(); let hit = 0
for (let i = 0; i < q.length; i++) { flow.daddr = q[i]!; if (host.fib.lookup(flow, res) === 0) hit++ }
console.log('random lookup ns', ((performance.now()-t)*1e6/q.length).toFixed(0), hit/q.length)
}
t = performance.now()
for (let i = 0; i < q.length; i++) { flow.daddr = q[i & 1023]!; host.fib.lookup(flow, res) }
console.log('1k hot lookup ns', ((performance.now()-t)*1e6/q.length).toFixed(0))
t = performance.now()
host.fib.addRoute({ prefix: 0, prefixLength: 0, device: dev }); console.log('default add us', ((performance.now()-t)*1000).toFixed(0))
t = performance.now()
host.fib.deleteRoute({ prefix: 0, prefixLength: 0 }); console.log('default del us', ((performance.now()-t)*1000).toFixed(0))
t = performance.now(); let c=0; for (const a of host.fib.dump(254)) c++; console.log('dump ms', (performance.now()-t).toFixed(0), c)
t = performance.now(); host.down('tun0'); console.log('down ms', (performance.now()-t).toFixed(0), [...host.fib.dumpAll()].length)
// /32 random
const trie = new FibTrie(); const info = new FibInfo()
t = performance.now()
for (let i=0;i<N;i++){ const a = r.int32(); if (trie.exact(a,32)===0) trie.insert(a,32,new FibAlias(a,32,0,1,254,info)) }
console.log('random /32 insert us', ((performance.now()-t)*1000/N).toFixed(2), 'bytes', trie.bytes/N)
t = performance.now(); for (let i = 0; i < q.length; i++) trie.find(q[i]!)
console.log('find in /32s ns', ((performance.now()-t)*1e6/q.length).toFixed(0))
