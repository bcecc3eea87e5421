import { expect } from 'chai'
import fc from 'fast-check'
import { formatTcpOptions } from '../../lib/wire/tcp.ts'
import {
  parseTcpOptions,
  sackLength,
  TcpOptions,
  writeSack,
  writeSynOptions,
  writeTimestamps,
} from '../../lib/wire/tcp-options.ts'

interface Plain {
  whole: boolean
  mss?: number
  windowScale?: number
  sackPermitted?: boolean
  timestamps?: [number, number]
  sack?: [number, number][]
}

/** What was read, without what is not there. */
function plainOf(options: TcpOptions, whole: boolean): Plain {
  const plain: Plain = { whole }
  if (options.mss !== 0) plain.mss = options.mss
  if (options.windowScale >= 0) plain.windowScale = options.windowScale
  if (options.sackPermitted) plain.sackPermitted = true
  if (options.timestamps) plain.timestamps = [options.tsValue, options.tsEcho]
  if (options.sackCount > 0) {
    plain.sack = Array.from({ length: options.sackCount }, (_, i) => [
      options.sackLeft[i]!,
      options.sackRight[i]!,
    ])
  }
  return plain
}

/** Between other bytes, which must not matter, and into an object that was used before. */
function parse(bytes: readonly number[]): Plain {
  const around = Uint8Array.from([3, 3, 9, ...bytes, 4, 2, 8, 10, 1, 1, 1, 1])
  const options = new TcpOptions()
  parseTcpOptions(Uint8Array.from([2, 4, 1, 1, 3, 3, 5, 4, 2]), 0, 9, options)
  const whole = parseTcpOptions(around, 3, 3 + bytes.length, options)
  return plainOf(options, whole)
}

function written(write: (bytes: Uint8Array, at: number) => number): number[] {
  const bytes = new Uint8Array(60).fill(0xaa)
  const length = write(bytes, 7)
  expect(length % 4).to.equal(0)
  expect([...bytes.subarray(0, 7), ...bytes.subarray(7 + length)].every((byte) => byte === 0xaa)).to.equal(
    true,
  )
  return [...bytes.subarray(7, 7 + length)]
}

/** The straightforward reading of the rules, on a list. */
function naive(bytes: readonly number[]): Plain {
  const plain: Plain = { whole: true }
  const word = (data: readonly number[], at: number): number =>
    (data[at]! << 24) | (data[at + 1]! << 16) | (data[at + 2]! << 8) | data[at + 3]! | 0
  let rest = [...bytes]
  while (rest.length > 0 && rest[0] !== 0) {
    if (rest[0] === 1) {
      rest = rest.slice(1)
      continue
    }
    const [kind, length] = rest
    if (length === undefined || length < 2 || length > rest.length) return { ...plain, whole: false }
    const data = rest.slice(2, length)
    rest = rest.slice(length)
    if (kind === 2 && data.length === 2 && (data[0] || data[1])) plain.mss = data[0]! * 256 + data[1]!
    if (kind === 3 && data.length === 1) plain.windowScale = Math.min(data[0]!, 14)
    if (kind === 4 && data.length === 0) plain.sackPermitted = true
    if (kind === 8 && data.length === 8) plain.timestamps = [word(data, 0), word(data, 4)]
    if (kind === 5 && data.length > 0 && data.length % 8 === 0) {
      plain.sack = []
      for (let at = 0; at < Math.min(data.length, 32); at += 8) {
        plain.sack.push([word(data, at), word(data, at + 4)])
      }
    }
  }
  return plain
}

const int32 = fc.integer({ min: -0x80000000, max: 0x7fffffff })

describe('TCP options', () => {
  it('reads those of a SYN of Linux', () => {
    // mss 1460,sackOK,TS val 3386600530 ecr 0,nop,wscale 7
    const syn = [2, 4, 5, 0xb4, 4, 2, 8, 10, 0xc9, 0xdb, 0x6c, 0x52, 0, 0, 0, 0, 1, 3, 3, 7]
    expect(parse(syn)).to.deep.equal({
      whole: true,
      mss: 1460,
      windowScale: 7,
      sackPermitted: true,
      timestamps: [0xc9db6c52 | 0, 0],
    })
  })

  it('reads aligned timestamps, alone and with blocks behind', () => {
    const timestamps = [1, 1, 8, 10, 0, 0, 1, 2, 0xff, 0xff, 0xff, 0xff]
    expect(parse(timestamps)).to.deep.equal({ whole: true, timestamps: [258, -1] })
    expect(parse([...timestamps, 1, 1, 5, 10, 0, 0, 0, 1, 0, 0, 0, 9])).to.deep.equal({
      whole: true,
      timestamps: [258, -1],
      sack: [[1, 9]],
    })
    // The same first word, but another option behind it.
    expect(parse([1, 1, 8, 10, 0, 0, 1, 2, 0, 0, 0])).to.deep.equal({ whole: false })
  })

  it('tcp-opt-badlen: keeps what came before an option whose length is 0, 1 or past the end', () => {
    for (const bad of [[253, 0], [253, 1], [253, 4, 0], [8, 10, 1, 1, 1], [3], [30, 255]]) {
      expect(parse([2, 4, 2, 24, ...bad]), String(bad)).to.deep.equal({ whole: false, mss: 536 })
    }
  })

  it('tcp-opt-unknown: skips unknown options, and known ones of another length', () => {
    const odd = [253, 4, 9, 9, 30, 2, 2, 3, 9, 3, 2, 4, 3, 0, 8, 3, 0, 5, 2, 5, 9, 1, 1, 1, 1, 1, 1, 1]
    expect(parse([...odd, 3, 3, 2])).to.deep.equal({ whole: true, windowScale: 2 })
  })

  it('tcp-ws-15: takes a shift of 15 and more for 14', () => {
    expect(parse([3, 3, 14]).windowScale).to.equal(14)
    expect(parse([3, 3, 15]).windowScale).to.equal(14)
    expect(parse([3, 3, 255]).windowScale).to.equal(14)
  })

  it('stops at the end of the list; an MSS of 0 is none; of two the last counts', () => {
    expect(parse([2, 4, 0, 0, 0, 2, 4, 1, 1])).to.deep.equal({ whole: true })
    expect(parse([2, 4, 1, 1, 2, 4, 0, 0])).to.deep.equal({ whole: true, mss: 257 })
    expect(parse([2, 4, 1, 1, 2, 4, 2, 2])).to.deep.equal({ whole: true, mss: 514 })
  })

  it('tcp-options-order: writes those of a SYN as Linux does, in words of 4 bytes', () => {
    const none = { mss: 0, windowScale: -1, sackPermitted: false, timestamps: false, tsValue: 0, tsEcho: 0 }
    const text = (options: Partial<typeof none>): string =>
      formatTcpOptions(Uint8Array.from(written((b, at) => writeSynOptions(b, at, { ...none, ...options }))))
    const ts = { timestamps: true, tsValue: 0x89abcdef | 0, tsEcho: 7 }
    expect(text({})).to.equal('')
    expect(text({ mss: 1460, windowScale: 7, sackPermitted: true, ...ts })).to.equal(
      'mss 1460,sackOK,TS val 2309737967 ecr 7,nop,wscale 7',
    )
    expect(text({ mss: 65495, ...ts })).to.equal('mss 65495,nop,nop,TS val 2309737967 ecr 7')
    expect(text({ mss: 536, sackPermitted: true, windowScale: 0 })).to.equal(
      'mss 536,nop,nop,sackOK,nop,wscale 0',
    )
  })

  it('tcp-sack-max: writes as many blocks as fit', () => {
    const left = Int32Array.of(1, 2, 3, -4)
    const right = Int32Array.of(11, 12, 13, -1)
    for (let count = 0; count <= 4; count++) {
      const bytes = written((b, at) => writeSack(b, at, left, right, count))
      expect(bytes).to.have.length(sackLength(count))
      const sack = Array.from({ length: count }, (_, i) => [left[i], right[i]])
      expect(parse(bytes)).to.deep.equal(count === 0 ? { whole: true } : { whole: true, sack })
    }
    expect(12 + sackLength(3)).to.equal(40)
    expect(sackLength(4)).to.equal(36)
  })

  it('property: what was written is read back', () => {
    const syn = fc.record({
      mss: fc.nat(65535),
      windowScale: fc.integer({ min: -1, max: 14 }),
      sackPermitted: fc.boolean(),
      timestamps: fc.boolean(),
      tsValue: int32,
      tsEcho: int32,
    })
    fc.assert(
      fc.property(syn, (options) => {
        const read = parse(written((bytes, at) => writeSynOptions(bytes, at, options)))
        const expected: Plain = { whole: true }
        if (options.mss !== 0) expected.mss = options.mss
        if (options.windowScale >= 0) expected.windowScale = options.windowScale
        if (options.sackPermitted) expected.sackPermitted = true
        if (options.timestamps) expected.timestamps = [options.tsValue, options.tsEcho]
        expect(read).to.deep.equal(expected)
      }),
    )
    fc.assert(
      fc.property(int32, int32, (value, echo) => {
        const read = parse(written((bytes, at) => writeTimestamps(bytes, at, value, echo)))
        expect(read).to.deep.equal({ whole: true, timestamps: [value, echo] })
      }),
    )
  })

  it('property: any bytes are read by the rules, and nothing behind them (hardening-15)', () => {
    const byte = fc.oneof(fc.constantFrom(0, 1, 2, 3, 4, 5, 8, 10, 18, 26, 34), fc.nat(255))
    fc.assert(
      fc.property(fc.array(byte, { maxLength: 44 }), (bytes) => {
        expect(parse(bytes)).to.deep.equal(naive(bytes))
      }),
      { numRuns: 2000 },
    )
  })
})
