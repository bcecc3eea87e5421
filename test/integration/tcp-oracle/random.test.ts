/**
 * Random segments to the kernel's TCP and to the stack's: what comes back must be the same, but for what
 * docs/differences.md lists. Many connections go through their scripts side by side, so that the kernel's real time
 * is spent once.
 */
import { expect } from 'chai'
import { Peer, type PeerHost } from '../../conformance/tcp-peer.ts'
import { useTestbed } from '../netns.ts'
import { KernelHost, StackHost } from './hosts.ts'
import { fieldsOf, randomScripts, type Script, told } from './scripts.ts'

const SEED = Number(process.env['TCP_ORACLE_SEED'] ?? 1)
const SCRIPTS = Number(process.env['TCP_ORACLE_SCRIPTS'] ?? 400)
const STEPS = 6
/** Longer than an acknowledgment is delayed; shorter than anything is sent again after. */
const WAIT = 60

/** What each script brings about, step by step. */
async function run(host: PeerHost, scripts: readonly Script[]): Promise<string[][]> {
  const peers = scripts.map(({ port }, i) => new Peer(host, port, { ownPort: 10_000 + i }))
  const clocks = scripts.map(() => 5000)
  const heard: string[][] = scripts.map(() => [])

  /** Sends what `make` gives for each script, and takes down what comes back. */
  const round = async (make: (i: number) => Parameters<Peer['build']>[0] | null): Promise<void> => {
    const texts: string[][] = scripts.map(() => [])
    const asked: boolean[] = []
    const packets = peers.flatMap((peer, i) => {
      const fields = make(i)
      asked[i] = fields?.flags?.includes('S') ?? false
      return fields === null ? [] : [peer.build(fields)]
    })
    host.push(...packets)
    for (const segment of await host.elapse(WAIT)) {
      const i = segment.dport - 10_000
      const peer = peers[i]
      if (peer === undefined || segment.sport !== scripts[i]!.port) continue
      // A SYN-ACK that nobody asked for is one that was sent again: when, real time decides.
      if (segment.flags.includes('S') && !asked[i]) continue
      if (segment.flags.includes('S')) peer.irs = segment.seq // also of a second connection
      const relative = peer.relative(segment)
      // A reset for what nobody knows begins at 0.
      const unknown = segment.flags === 'RA' && segment.seq === 0
      texts[i]!.push(told(unknown ? { ...relative, seq: 0 } : relative))
      const end = relative.seq + relative.data.length + (relative.flags.includes('F') ? 1 : 0)
      if (relative.seq === peer.received) peer.received = end
    }
    for (const [i, list] of texts.entries()) heard[i]!.push(withoutEarlyAck(list).join(', ') || '-')
  }

  const syn = (inHandshake: boolean) => (i: number) => {
    const { start, options } = scripts[i]!
    const wanted = start !== 'nothing' && (start === 'syn-received') === inHandshake
    return wanted ? { flags: 'S', seq: 0, options } : null
  }
  const reckonSyn = (): void => {
    for (const [i, peer] of peers.entries()) {
      if (peer.irs === 0 || peer.next !== 0) continue
      peer.next = peer.received = 1
      peer.timestamps = scripts[i]!.options.ts !== undefined
    }
  }
  await round(syn(false))
  reckonSyn()
  const stamped = (i: number, distance: number): object =>
    peers[i]!.timestamps ? { options: { ts: [clocks[i]! + distance, peers[i]!.echo] } } : { options: {} }
  await round((i) => {
    const { start } = scripts[i]!
    return start === 'established' || start === 'peer-closed' ? { ...stamped(i, 0) } : null
  })
  await round((i) => (scripts[i]!.start === 'peer-closed' ? { flags: 'FA', ...stamped(i, 0) } : null))
  // Last, and for a few steps only: its SYN-ACK is sent again after a second of real time.
  await round(syn(true))
  reckonSyn()
  for (let step = 0; step < STEPS; step++) {
    await round((i) => {
      if (step >= 4 && scripts[i]!.start === 'syn-received') return null
      const peer = peers[i]!
      const what = scripts[i]!.steps[step]!
      clocks[i]! += 60
      return { ...fieldsOf(what, peer.next, peer.received), ...stamped(i, what.ts) }
    })
  }
  return heard
}

/** The acknowledgment of a FIN goes with what the application says to it, if it is quick: how quick, real time decides. */
function withoutEarlyAck(texts: readonly string[]): string[] {
  const ack = (text: string | undefined): string | undefined => / ack \d+/.exec(text ?? '')?.[0]
  return texts.filter(
    (text, i) =>
      !(text.startsWith('A ') && /^[PF]/.test(texts[i + 1] ?? '') && ack(text) === ack(texts[i + 1])),
  )
}

describe('TCP compared with the kernel', () => {
  const bed = useTestbed()

  it(`${SCRIPTS} scripts of random segments, seed ${SEED}`, async () => {
    const scripts = randomScripts(SEED, SCRIPTS, STEPS)
    const stack = new StackHost()
    const ours = await run(stack, scripts)
    await stack.end()
    const kernel = await KernelHost.start(bed.namespace('kernel'))
    const theirs = await run(kernel, scripts)
    await kernel.stop()
    const differences = scripts.flatMap((script, i) => {
      if (ours[i]!.join('\n') === theirs[i]!.join('\n')) return []
      const at = ours[i]!.findIndex((text, step) => text !== theirs[i]![step])
      const lines = ours[i]!.slice(0, at + 1).map((text, step) => {
        const what = ['SYN', 'ACK', 'FIN', 'SYN'][step] ?? JSON.stringify(script.steps[step - 4])
        return text === theirs[i]![step]
          ? `  ${what}\n    ${text}`
          : `  ${what}\n    stack  ${text}\n    kernel ${theirs[i]![step]}`
      })
      return [
        `script ${i}: port ${script.port} ${script.start} ${JSON.stringify(script.options)}\n${lines.join('\n')}`,
      ]
    })
    expect(differences, differences.slice(0, 8).join('\n')).to.have.length(0)
  }).timeout(120_000)
})
