/** Reads pcapng, just enough to check what the writer wrote: blocks, options, and that all lengths agree. */
import { expect } from 'chai'

export interface PcapngOption {
  code: number
  value: Uint8Array
}

export interface PcapngBlock {
  type: number
  /** What lies between the two lengths. */
  body: DataView
  options: PcapngOption[]
}

/** Bytes before the options, by block type. */
const FIXED: Record<number, (body: DataView) => number> = {
  168627466: () => 16,
  1: () => 8,
  5: () => 12,
  6: (body) => 20 + ((body.getUint32(12, true) + 3) & ~3),
}

export function readPcapng(bytes: Uint8Array): PcapngBlock[] {
  const blocks: PcapngBlock[] = []
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  for (let at = 0; at < bytes.length; ) {
    const type = view.getUint32(at, true)
    const length = view.getUint32(at + 4, true)
    expect(length % 4).to.equal(0)
    expect(length).to.be.within(12, bytes.length - at)
    expect(view.getUint32(at + length - 4, true), 'the length at the end').to.equal(length)
    const body = new DataView(view.buffer, view.byteOffset + at + 8, length - 12)
    blocks.push({ type, body, options: readOptions(body, FIXED[type]!(body)) })
    at += length
  }
  return blocks
}

function readOptions(body: DataView, from: number): PcapngOption[] {
  const options: PcapngOption[] = []
  for (let at = from; at < body.byteLength; ) {
    const code = body.getUint16(at, true)
    const length = body.getUint16(at + 2, true)
    at += 4
    if (code === 0) {
      expect([length, at], 'the end of the options').to.deep.equal([0, body.byteLength])
      return options
    }
    expect(at + length).to.be.at.most(body.byteLength)
    options.push({ code, value: new Uint8Array(body.buffer, body.byteOffset + at, length) })
    for (let pad = at + length; pad % 4 !== 0; pad++) {
      expect(body.getUint8(pad), 'padding').to.equal(0)
    }
    at += (length + 3) & ~3
  }
  throw new Error('options without an end')
}

export interface PcapngPacket {
  interfaceId: number
  /** Nanoseconds since 1970-01-01 UTC. */
  time: bigint
  bytes: Uint8Array
  length: number
  flags: number | undefined
  comment: string | undefined
}

export function packetOf({ body, options }: PcapngBlock): PcapngPacket {
  const captured = body.getUint32(12, true)
  const flags = options.find(({ code }) => code === 2)
  const comment = options.find(({ code }) => code === 1)
  return {
    interfaceId: body.getUint32(0, true),
    time: (BigInt(body.getUint32(4, true)) << 32n) | BigInt(body.getUint32(8, true)),
    bytes: new Uint8Array(body.buffer, body.byteOffset + 20, captured).slice(),
    length: body.getUint32(16, true),
    flags: flags === undefined ? undefined : new DataView(flags.value.slice().buffer).getUint32(0, true),
    comment:
      comment === undefined ? undefined : new TextDecoder('utf-8', { fatal: true }).decode(comment.value),
  }
}

export function textOf({ options }: PcapngBlock, code: number): string | undefined {
  const option = options.find((candidate) => candidate.code === code)
  return option === undefined ? undefined : new TextDecoder('utf-8', { fatal: true }).decode(option.value)
}

export function countOf({ options }: PcapngBlock, code: number): bigint | undefined {
  const option = options.find((candidate) => candidate.code === code)
  if (option === undefined) return undefined
  const view = new DataView(option.value.slice().buffer)
  return BigInt(view.getUint32(0, true)) + (BigInt(view.getUint32(4, true)) << 32n)
}

/** A sink that keeps a copy of all that it is given. */
export class ByteCollector {
  readonly chunks: Uint8Array[] = []
  readonly sink = (bytes: Uint8Array): void => void this.chunks.push(bytes.slice())

  get bytes(): Uint8Array {
    const all = new Uint8Array(this.chunks.reduce((sum, { length }) => sum + length, 0))
    let at = 0
    for (const chunk of this.chunks) {
      all.set(chunk, at)
      at += chunk.length
    }
    return all
  }
}
