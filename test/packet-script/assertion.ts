/** The assertions of packet scripts: lines of Python about `tcp_info`, of which comparisons are understood. */
import type { TcpInfo } from '../../lib/index.ts'
import { NotPlayable } from './not-playable.ts'

const CONSTANTS: Readonly<Record<string, number>> = {
  TCP_CA_Open: 0,
  TCP_CA_Disorder: 1,
  TCP_CA_CWR: 2,
  TCP_CA_Recovery: 3,
  TCP_CA_Loss: 4,
  TCPI_OPT_TIMESTAMPS: 1,
  TCPI_OPT_SACK: 2,
  TCPI_OPT_WSCALE: 4,
  TCPI_OPT_ECN: 8,
  TCPI_OPT_SYN_DATA: 32,
}

const COMPARE: Readonly<Record<string, (a: number, b: number) => boolean>> = {
  '==': (a, b) => a === b,
  '!=': (a, b) => a !== b,
  '<=': (a, b) => a <= b,
  '>=': (a, b) => a >= b,
  '<': (a, b) => a < b,
  '>': (a, b) => a > b,
}

/** A number, a constant, a field, or two of them joined by `&`. @throws NotPlayable */
function value(text: string, info: TcpInfo): number {
  const parts = text.replace(/[()]/g, '').split('&')
  return parts.map((part) => operand(part.trim(), info)).reduce((a, b) => a & b, -1 >>> 0) >>> 0
}

function operand(text: string, info: TcpInfo): number {
  if (/^\d+$/.test(text)) return Number(text)
  const constant = CONSTANTS[text]
  if (constant !== undefined) return constant
  const field = info[text.replace(/^tcpi_/, '') as keyof TcpInfo]
  if (!text.startsWith('tcpi_') || field === undefined) throw new NotPlayable(`not known: ${text}`)
  return Number(field)
}

/** @throws Error for what does not hold; NotPlayable for what is not understood */
export function assertion(text: string, info: TcpInfo | null): void {
  for (const line of text.replace(/\\\n/g, ' ').split(/\n|;/)) {
    const statement = line.replace(/#.*/, '').trim()
    if (statement === '') continue
    const [, claim] = /^assert\s+([^,]*)/.exec(statement) ?? []
    if (claim === undefined) throw new NotPlayable(`not understood: ${statement}`)
    if (info === null) throw new Error('there is no connection to ask')
    const words = claim.split(/\s*(==|!=|<=|>=|<|>)\s*/)
    for (let i = 0; i + 2 < words.length; i += 2) {
      const left = value(words[i]!, info)
      const right = value(words[i + 2]!, info)
      if (!COMPARE[words[i + 1]!]!(left, right))
        throw new Error(`${statement}: ${words[i]} is ${left}, ${words[i + 2]} is ${right}`)
    }
  }
}
