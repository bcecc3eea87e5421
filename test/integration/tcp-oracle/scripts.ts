/** Random segments of a peer, near everything that matters to a connection, and what came back in comparable form. */
import { seededRandom } from '../../../lib/index.ts'
import { Random } from '../../../lib/random/random.ts'
import type { Fields, Options, Segment } from '../../conformance/tcp-peer.ts'
import { CLOSED, CLOSER, DISCARD, ECHO } from './services.ts'

/** How a connection stands when a script begins. */
export type Start = 'nothing' | 'syn-received' | 'established' | 'peer-closed'

export interface Step {
  /** Numbers are relative to what is next on either side. */
  seq: number
  ack: number
  flags: string
  length: number
  /** Distance of the timestamp from a current one, if the connection has them. */
  ts: number
}

export interface Script {
  port: number
  start: Start
  options: Options
  steps: Step[]
}

const FLAGS = ['A', 'A', 'A', 'A', 'PA', 'FA', 'FPA', 'R', 'RA', 'S', 'SA', 'F', '', 'FS', 'SR', 'SFA']
const NEAR = [0, 0, 0, 0, 0, 1, 2, 5, 10, -1, -1, -2, -10, 100, 1000]
const FAR = [63_000, 70_000, 100_000, -100_000, 0x7ffffff0, -0x7ffffff0]

const WITHOUT_SACK: readonly Options[] = [{ mss: 1460 }, { mss: 1460, ts: [1, 0] }]
const WITH_SACK: readonly Options[] = [
  { mss: 1460, sackOk: true },
  { mss: 1460, sackOk: true, ts: [1, 0] },
  { mss: 1460, sackOk: true, ts: [1, 0] },
]

const OPEN: readonly Start[] = ['established', 'established', 'established', 'peer-closed']

/**
 * What the two are known to do differently is left out: segments without the timestamps that were agreed on, urgent
 * data, a closed window and our FIN, and a timestamp with an acknowledgment that is refused (whose value the kernel
 * keeps), a second FIN behind the first (which it takes), data under an old acknowledgment (which its header
 * prediction may take). Where the peer's FIN comes while ours is on its way the kernel tells of early
 * data once more that it is about to forget; so there is no SACK there.
 */
export function randomScripts(seed: number, count: number, steps: number): Script[] {
  const random = new Random(seededRandom(seed))
  const pick = <T>(list: readonly T[]): T => list[random.below(list.length)]!
  const near = (far: number): number => (random.below(far) === 0 ? pick(FAR) : pick(NEAR))
  return Array.from({ length: count }, () => {
    const port = pick([DISCARD, DISCARD, DISCARD, ECHO, CLOSER, CLOSED])
    const start = pick<Start>(port === CLOSER ? OPEN : [...OPEN, 'nothing', 'syn-received'])
    return {
      port,
      start,
      options: pick<Options>(port === CLOSER ? WITHOUT_SACK : [...WITHOUT_SACK, ...WITH_SACK]),
      steps: Array.from({ length: steps }, () => {
        const flags = pick(FLAGS)
        const ts = random.below(6) === 0 ? pick([-1000, -1, 1000]) : 0
        const ack = ts === 0 && random.below(5) === 0 ? near(4) : 0
        const empty = ack < 0 || (flags.includes('F') && start === 'peer-closed')
        return {
          seq: near(8),
          ack,
          flags,
          length: empty ? 0 : pick([0, 0, 0, 1, 1, 5, 10, 20]),
          ts,
        }
      }),
    }
  })
}

export function fieldsOf(step: Step, next: number, received: number): Fields {
  return {
    seq: next + step.seq,
    ack: received + step.ack,
    flags: step.flags,
    data: Uint8Array.from({ length: step.length }, (_, i) => next + step.seq + i),
  }
}

/** A segment without what may differ: the window's size, and clocks. */
export function told({ flags, seq, ack, data, options }: Segment): string {
  const words = [flags || 'none', data.length > 0 ? `${seq}:${seq + data.length}` : `${seq}`]
  if (flags.includes('A')) words.push(`ack ${ack}`)
  if (options.ts !== undefined) words.push('ts')
  if (options.sack !== undefined) words.push(`sack ${options.sack.map((block) => block.join('-')).join(' ')}`)
  if (options.mss !== undefined) words.push(`mss ${options.mss}`)
  return words.join(' ')
}
