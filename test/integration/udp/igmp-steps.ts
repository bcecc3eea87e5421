/** What a host of a multicast group does and hears, for the kernel and for the stack alike. */

export type Step =
  | { join: string }
  | { leave: string }
  /** An IPv4 packet that arrives, in hexadecimal. */
  | { hear: string }

export interface Scene {
  what: string
  step: Step[]
  /** Milliseconds in which is noted what is sent. */
  wait: number
}

function packet(message: readonly number[], destination: string): string {
  const bytes = [
    ...[0x46, 0xc0, 0, 24 + message.length, 0, 1, 0, 0, 1, 2, 0, 0],
    ...[10, 9, 0, 254],
    ...destination.split('.').map(Number),
    ...[0x94, 4, 0, 0],
    ...message,
  ]
  sumInto(bytes, 24, bytes.length, 26)
  sumInto(bytes, 0, 24, 10)
  return Buffer.from(bytes).toString('hex')
}

function sumInto(bytes: number[], from: number, to: number, at: number): void {
  let sum = 0
  for (let i = from; i < to; i += 2) sum += (bytes[i]! << 8) | bytes[i + 1]!
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16)
  bytes[at] = (~sum >>> 8) & 0xff
  bytes[at + 1] = ~sum & 0xff
}

const group = (text: string): number[] => text.split('.').map(Number)
const v3 = (to: string, about: string, sources: string[] = []): Step => ({
  hear: packet([0x11, 5, 0, 0, ...group(about), 2, 125, 0, sources.length, ...sources.flatMap(group)], to),
})
const v2 = (to: string, about: string): Step => ({ hear: packet([0x11, 5, 0, 0, ...group(about)], to) })

export const SCENES: readonly Scene[] = [
  { what: 'up', step: [], wait: 300 },
  { what: 'join', step: [{ join: '224.5.5.5' }], wait: 1500 },
  { what: 'join two at once', step: [{ join: '224.5.5.6' }, { join: '239.1.1.1' }], wait: 1500 },
  { what: 'leave', step: [{ leave: '224.5.5.6' }], wait: 1500 },
  { what: 'leave and join', step: [{ leave: '239.1.1.1' }, { join: '239.1.1.1' }], wait: 1500 },
  { what: 'join a group of the link', step: [{ join: '224.0.0.251' }], wait: 1500 },
  { what: 'general query', step: [v3('224.0.0.1', '0.0.0.0')], wait: 1000 },
  { what: 'query about a group', step: [v3('224.5.5.5', '224.5.5.5')], wait: 1000 },
  { what: 'query about a group that was not joined', step: [v3('224.0.0.1', '224.9.9.9')], wait: 800 },
  { what: 'query about sources', step: [v3('224.5.5.5', '224.5.5.5', ['10.0.0.9'])], wait: 1000 },
  { what: 'general query about sources', step: [v3('224.0.0.1', '0.0.0.0', ['10.0.0.9'])], wait: 800 },
  { what: 'query of version 2', step: [v2('224.0.0.1', '0.0.0.0')], wait: 1000 },
  { what: 'query of version 2 about a group', step: [v2('224.5.5.5', '224.5.5.5')], wait: 1000 },
  { what: 'leave in version 2', step: [{ leave: '239.1.1.1' }], wait: 500 },
  { what: 'query of version 3 to who speaks 2', step: [v3('224.0.0.1', '0.0.0.0')], wait: 1000 },
]

/** What was sent in a scene; where chance decides the order, it is none. */
export function inOrder(scene: Scene, packets: readonly string[]): string[] {
  return /version 2|speaks 2/.test(scene.what) ? [...packets].sort() : [...packets]
}
