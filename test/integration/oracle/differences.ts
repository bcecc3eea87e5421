/**
 * Where the stack differs from the kernel on purpose, and by how much: the one table of it. Each entry says for
 * which packets it holds and takes what it explains out of both outcomes; whatever is left must be alike.
 */
import type { Comparable } from './outcome.ts'
import type { Setup, Step } from './scenario.ts'

export interface Difference {
  name: string
  why: string
  applies(step: Step, setup: Setup): boolean
  /** Changes both sides so that what the difference explains is alike. */
  settle(kernel: Comparable, stack: Comparable): void
}

/** Reasons of the stack that say more than the kernel's. */
const FINER: Readonly<Record<string, string>> = {
  IP_TTL: 'IP_INHDR',
}

/**
 * Drop reasons that only one side has. The kernel's NOT_SPECIFIED stands for any reason, or for memory that it
 * frees with `kfree_skb` though nothing went wrong.
 */
export function unmatchedReasons(kernel: readonly string[], stack: readonly string[]): string[] {
  const left = stack.filter((reason) => reason !== 'NOT_SPECIFIED').map((reason) => FINER[reason] ?? reason)
  const found: string[] = []
  let unspecified = 0
  for (const exact of kernel) {
    const reason = FINER[exact] ?? exact
    if (reason === 'NOT_SPECIFIED') {
      unspecified++
      continue
    }
    const at = left.indexOf(reason)
    if (at >= 0) left.splice(at, 1)
    else found.push(`kernel ${reason}`)
  }
  for (const reason of left.slice(unspecified)) found.push(`stack ${reason}`)
  return found.length === 0 ? found : [...found, `kernel: ${kernel.join(' ')}`, `stack: ${stack.join(' ')}`]
}

interface Header {
  source: number
  destination: number
  protocol: number
  headerLength: number
  fragment: boolean
  bytes: Uint8Array
}

function headersOf(step: Step): Header[] {
  return step.packets.flatMap(({ bytes }): Header[] => {
    if (bytes.length < 20 || bytes[0]! >> 4 !== 4) return []
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    return [
      {
        source: view.getUint32(12),
        destination: view.getUint32(16),
        protocol: bytes[9]!,
        headerLength: (bytes[0]! & 15) * 4,
        fragment: (view.getUint16(6) & 0x3fff) !== 0,
        bytes,
      },
    ]
  })
}

const some = (test: (header: Header) => boolean) => (step: Step) => headersOf(step).some(test)

/** The stack dropped what the kernel would not: nothing was sent, and that is all that is asked of it. */
function droppedByStack(kernel: Comparable, stack: Comparable): void {
  if (stack.sent.length === 0) copy(stack, kernel)
}

function copy(from: Comparable, to: Comparable): void {
  to.sent = [...from.sent]
  to.counters = [...from.counters]
  to.links = [...from.links]
  to.routes = [...from.routes]
  to.drops = [...from.drops]
}

const isZeroNet = (address: number): boolean => address !== 0 && address >>> 24 === 0
const isClassE = (address: number): boolean => address >>> 28 === 15 && address !== 0xffffffff

/** Takes a packet's line apart, and together again after a change. */
function rewrite(line: string, change: (bytes: Uint8Array) => boolean): string {
  const device = line.slice(0, line.indexOf(' '))
  const hex = line.slice(line.lastIndexOf(' ') + 1)
  const bytes = Uint8Array.from(Buffer.from(hex, 'hex'))
  return change(bytes) ? `${device} (rewritten) ${Buffer.from(bytes).toString('hex')}` : line
}

/** Blanks the options of the datagram that an ICMP error quotes, and the checksums over them. */
function blankQuotedOptions(bytes: Uint8Array): boolean {
  const at = (bytes[0]! & 15) * 4
  if (bytes[9] !== 1 || ![3, 4, 5, 11, 12].includes(bytes[at]!) || bytes.length < at + 28) return false
  const quote = at + 8
  const quoted = (bytes[quote]! & 15) * 4
  if (quoted <= 20) return false
  bytes.fill(0, quote + 20, Math.min(quote + quoted, bytes.length))
  bytes.fill(0, quote + 10, quote + 12)
  bytes.fill(0, at + 2, at + 4)
  return true
}

export const DIFFERENCES: readonly Difference[] = [
  {
    name: 'quotes show options as they were received',
    why: 'RFC 1122 §3.2.2: unchanged. The kernel quotes what it has recorded in them meanwhile, under the old checksum.',
    applies: some(({ headerLength }) => headerLength > 20),
    settle: (kernel, stack) => {
      for (const side of [kernel, stack])
        side.sent = side.sent.map((line) => rewrite(line, blankQuotedOptions))
    },
  },
  {
    name: 'nothing is taken from or for 0.0.0.0/8',
    why: 'RFC 1122 §3.2.1.3, RFC 6890: the kernel has taken all of it but 0.0.0.0 for ordinary addresses since 5.3.',
    applies: some(({ source, destination }) => isZeroNet(source) || isZeroNet(destination)),
    settle: droppedByStack,
  },
  {
    name: '240.0.0.0/4 is not forwarded',
    why: 'RFC 1812 §5.3.7; the kernel forwards it.',
    applies: some(({ source, destination }) => isClassE(source) || isClassE(destination)),
    settle: droppedByStack,
  },
  {
    name: 'no reply to a broadcast address',
    why: 'RFC 1122 §3.2.1.3: a broadcast source is an attack (smurf); the kernel answers it unless rp_filter is on.',
    applies: some(({ source }) => (source & 0xff) === 0xff),
    settle: droppedByStack,
  },
  {
    name: 'a timestamp reply counts as one',
    why: 'The kernel counts every ICMP reply of its own under type 0 (`fl4_icmp_type` is not set for them).',
    applies: some(({ protocol, bytes, headerLength }) => protocol === 1 && bytes[headerLength] === 13),
    settle: (_, stack) => {
      stack.counters = stack.counters
        .map((line) => line.replace('OutType14 ', 'OutType0 ').replace('OutTimestampReps ', 'OutEchoReps '))
        .sort()
    },
  },
  {
    name: 'a CIPSO option is an unknown option',
    why: 'The kernel checks it if it was built with NetLabel; the stack knows no security labels.',
    applies: some(({ bytes, headerLength }) => bytes.subarray(20, headerLength).includes(134)),
    settle: (kernel, stack) => copy(stack, kernel),
  },
  {
    name: 'source routes are refused',
    why: 'RFC 7126 §4.3: the kernel looks at more than one of them, and follows them where it is told to.',
    applies: some(({ bytes, headerLength }) =>
      bytes.subarray(20, headerLength).some((type) => type === 131 || type === 137),
    ),
    settle: (kernel, stack) => {
      if (stack.sent.every((line) => line.includes('parameter problem') || line.includes('rewritten')))
        copy(stack, kernel)
    },
  },
  {
    name: 'a fragment that ends past 65535 costs its datagram at once',
    why: 'Nothing can come of it. The kernel finds out when the last piece is there, and lets the offset overflow into the flags when it cuts it.',
    applies: some(
      ({ bytes, fragment }) => fragment && (((bytes[6]! & 0x1f) << 8) | bytes[7]!) * 8 + bytes.length > 65535,
    ),
    settle: (kernel, stack) => copy(stack, kernel),
  },
  {
    name: 'a broadcast that nobody wants is checked first',
    why: 'The kernel puts off the checksum of what is larger than 76 bytes, and counts it as ignored unseen.',
    applies: some(({ protocol, bytes }) => protocol === 17 && bytes.length > 76),
    settle: (kernel, stack) => {
      const [ignored, wrong, errors] = ['UdpIgnoredMulti 1', 'UdpInCsumErrors 1', 'UdpInErrors 1']
      if (!kernel.counters.includes(ignored) || !stack.counters.includes(wrong)) return
      kernel.counters = kernel.counters.filter((line) => line !== ignored)
      stack.counters = stack.counters.filter((line) => line !== wrong && line !== errors)
      stack.drops = stack.drops.filter((reason) => reason !== 'UDP_CSUM')
    },
  },
  {
    name: 'an error about a protocol that is not here',
    why: 'The kernel counts it if it finds no socket; without that protocol nobody looks.',
    applies: some(({ protocol, bytes, headerLength }) => {
      const quoted = bytes[headerLength + 17]
      return protocol === 1 && quoted !== undefined && ![1, 6, 17].includes(quoted)
    }),
    settle: (kernel, stack) => {
      for (const side of [kernel, stack])
        side.counters = side.counters.filter((line) => !/^IcmpInErrors /.test(line))
    },
  },
  {
    name: 'fragments that are given up have a reason',
    why: 'The kernel frees what waited as consumed.',
    applies: some(({ fragment }) => fragment),
    settle: (kernel, stack) => {
      const extra = [...stack.drops]
      for (const reason of kernel.drops) {
        const at = extra.indexOf(reason)
        if (at >= 0) extra.splice(at, 1)
      }
      for (const reason of extra) {
        if (/^(FRAG_|IP_INHDR)/.test(reason)) stack.drops.splice(stack.drops.indexOf(reason), 1)
      }
    },
  },
]

/** What differs and may not, as lines; empty if nothing does. */
export function compare(
  kernel: Comparable,
  stack: Comparable,
  step: Step,
  setup: Setup,
  reasons: boolean,
): string[] {
  for (const difference of DIFFERENCES) if (difference.applies(step, setup)) difference.settle(kernel, stack)
  const lines: string[] = []
  for (const key of ['sent', 'counters', 'links', 'routes'] as const) {
    const [ours, theirs] = [stack[key], kernel[key]]
    if (ours.join('\n') === theirs.join('\n')) continue
    const onlyKernel = theirs.filter((line) => !ours.includes(line))
    const onlyStack = ours.filter((line) => !theirs.includes(line))
    lines.push(`${key}:`)
    for (const line of onlyKernel) lines.push(`  kernel ${line}`)
    for (const line of onlyStack) lines.push(`  stack  ${line}`)
    if (onlyKernel.length + onlyStack.length === 0) {
      lines.push('  the same lines in another order or number:')
      lines.push(...theirs.map((line) => `  kernel ${line}`), ...ours.map((line) => `  stack  ${line}`))
    }
  }
  if (reasons) {
    const drops = unmatchedReasons(kernel.drops, stack.drops)
    if (drops.length > 0) lines.push('drop reasons:', ...drops.map((line) => `  ${line}`))
  }
  return lines
}
