import { expect } from 'chai'
import fc from 'fast-check'
import { MAX_SACKED_RANGES, Scoreboard } from '../../lib/tcp/scoreboard.ts'
import { TcpOptions } from '../../lib/wire/tcp-options.ts'

type Block = readonly [left: number, right: number]

function sack(base: number, blocks: readonly Block[]): TcpOptions {
  const options = new TcpOptions()
  options.sackCount = blocks.length
  blocks.forEach(([left, right], i) => {
    options.sackLeft[i] = base + left
    options.sackRight[i] = base + right
  })
  return options
}

const none = sack(0, [])

function make(una = 0, mss = 10): Scoreboard {
  const board = new Scoreboard()
  board.mss = mss
  board.reset(una)
  return board
}

/** All holes that are to be filled, in order, as if each were sent again. */
function holes(board: Scoreboard, una: number): Block[] {
  const found: Block[] = []
  while (board.nextHole(una)) {
    found.push([board.holeLeft, board.holeRight])
    board.retransmitted(board.holeRight)
  }
  return found
}

describe('Scoreboard', () => {
  it('tcp-sack-rexmit: finds the segments that are missing below three that have arrived', () => {
    // Eight segments of ten bytes; the first and the fourth are lost.
    const board = make()
    board.startRecovery()
    expect(board.update(sack(0, [[10, 20]]), 0, 0, 80)).to.equal(10)
    expect([board.isLost(0), board.nextHole(0), board.pipe(80)]).to.deep.equal([false, false, 70])
    expect(board.update(sack(0, [[10, 30]]), 0, 0, 80)).to.equal(10)
    expect(board.isLost(0)).to.equal(false)
    expect(
      board.update(
        sack(0, [
          [40, 50],
          [10, 30],
        ]),
        0,
        0,
        80,
      ),
    ).to.equal(10)
    // More than two segments above the first; the fourth has one above it.
    expect([board.isLost(0), board.isLost(30), board.isSacked(40), board.forwardAck]).to.deep.equal([
      true,
      false,
      true,
      50,
    ])
    expect(board.pipe(80)).to.equal(80 - 30 - 10)
    expect(board.lostBytes).to.equal(10)
    expect(holes(board, 0)).to.deep.equal([[0, 10]])
    expect(board.pipe(80)).to.equal(80 - 30)
    expect(board.lostBytes).to.equal(0)
    board.update(
      sack(0, [
        [40, 80],
        [10, 30],
      ]),
      0,
      0,
      80,
    )
    expect(holes(board, 0)).to.deep.equal([[30, 40]])
    expect(board.pipe(80)).to.equal(20)
    expect(board.update(none, 40, 40, 80)).to.equal(0)
    expect([board.sackedBytes, board.pipe(80)]).to.deep.equal([40, 0])
    board.advance(80)
    expect([board.sackedBytes, board.ranges, board.forwardAck, board.pipe(80)]).to.deep.equal([0, 0, 80, 0])
  })

  it('reckons as lost what has three ranges above it, however small they are', () => {
    const board = make(0, 1000)
    board.update(
      sack(0, [
        [50, 51],
        [30, 31],
      ]),
      0,
      0,
      100,
    )
    expect(board.isLost(20)).to.equal(false)
    board.update(sack(0, [[10, 11]]), 0, 0, 100)
    expect([board.isLost(9), board.isLost(10), board.isLost(11)]).to.deep.equal([true, false, false])
    board.dupThresh = 2
    board.update(sack(0, [[70, 71]]), 0, 0, 100)
    expect([board.isLost(40), board.isLost(60)]).to.deep.equal([true, false])
  })

  it('offers what may be missing when there is nothing else to send (NextSeg rule 3)', () => {
    const board = make()
    board.update(sack(0, [[10, 20]]), 0, 0, 80)
    expect(board.nextHole(0)).to.equal(false)
    expect(board.nextUnsacked(0)).to.equal(true)
    expect([board.holeLeft, board.holeRight]).to.deep.equal([0, 10])
    expect(board.nextUnsacked(10)).to.equal(false)
  })

  it('tcp-sack-invalid: ignores blocks outside what was sent, and reversed ones', () => {
    const board = make(1000)
    for (const [left, right] of [
      [1000, 1101],
      [1050, 1050],
      [1060, 1050],
      [1100, 1000],
      [1200, 1300],
      [-0x7fffff00, 1050],
    ] as const) {
      expect(board.update(sack(0, [[left, right]]), 1000, 1000, 1100), `${left}:${right}`).to.equal(0)
    }
    expect([board.ranges, board.sackedBytes, board.pipe(1100)]).to.deep.equal([0, 0, 100])
    // What an older acknowledgment says of bytes that are acknowledged since.
    expect(board.update(sack(0, [[990, 1010]]), 980, 1000, 1100)).to.equal(10)
    expect(board.dsack).to.equal(false)
  })

  it('tcp-dsack: tells duplicates that the peer reports from what has arrived (RFC 2883)', () => {
    const board = make(1000)
    expect(board.update(sack(0, [[900, 910]]), 1000, 1000, 1100)).to.equal(0)
    expect([board.dsack, board.dsackLeft, board.dsackRight]).to.deep.equal([true, 900, 910])
    expect(board.update(sack(0, [[1020, 1030]]), 1000, 1000, 1100)).to.equal(10)
    expect(board.dsack).to.equal(false)
    const within = sack(0, [
      [1022, 1025],
      [1020, 1040],
    ])
    expect(board.update(within, 1000, 1000, 1100)).to.equal(10)
    expect([board.dsack, board.dsackLeft, board.dsackRight]).to.deep.equal([true, 1022, 1025])
    expect(board.update(none, 1000, 1000, 1100)).to.equal(0)
    expect(board.dsack).to.equal(false)
    // Reversed, or of what was never sent: no report.
    board.update(sack(0, [[910, 900]]), 1000, 1000, 1100)
    expect(board.dsack).to.equal(false)
    board.update(sack(0, [[990, 1200]]), 1000, 1000, 1100)
    expect([board.dsack, board.sackedBytes]).to.deep.equal([false, 20])
  })

  it('tcp-sack-reneg: after a timeout everything that has not arrived is sent again, and all if the peer reneged', () => {
    const board = make()
    board.update(sack(0, [[10, 20]]), 0, 0, 50)
    expect(board.timeout(50)).to.equal(false)
    expect(board.pipe(50)).to.equal(0)
    expect(holes(board, 0)).to.deep.equal([
      [0, 10],
      [20, 50],
    ])
    expect(board.pipe(50)).to.equal(40)
    // A second timeout: what was sent again is lost, too.
    expect(board.timeout(50)).to.equal(false)
    expect(holes(board, 0)).to.have.length(2)
    // The peer asks for what it said to have.
    board.update(sack(0, [[20, 30]]), 20, 20, 50)
    expect(board.timeout(50)).to.equal(true)
    expect([board.sackedBytes, board.ranges]).to.deep.equal([0, 0])
    expect(holes(board, 20)).to.deep.equal([[20, 50]])
    board.advance(50)
    board.endRecovery()
    expect([board.nextHole(50), board.pipe(70)]).to.deep.equal([false, 20])
  })

  it('serves a sender without SACK, who says himself what is lost', () => {
    const board = make()
    board.startRecovery()
    board.markLostTo(10)
    expect(board.pipe(80)).to.equal(70)
    expect(holes(board, 0)).to.deep.equal([[0, 10]])
    expect(board.pipe(80)).to.equal(80)
    // A partial acknowledgment: the next one is lost (RFC 6582 §3.2).
    board.advance(30)
    board.markLostTo(40)
    expect(holes(board, 30)).to.deep.equal([[30, 40]])
    board.endRecovery()
    expect([board.lostTo, board.highRxt, board.pipe(80)]).to.deep.equal([30, 30, 50])
  })

  it('remembers 1024 ranges, and still takes what joins two of them (hardening-11)', () => {
    const board = make(0, 1)
    for (let i = 0; i < MAX_SACKED_RANGES; i++) {
      expect(board.update(sack(0, [[2 * i + 1, 2 * i + 2]]), 0, 0, 5000)).to.equal(1)
    }
    const beyond = 2 * MAX_SACKED_RANGES + 1
    expect(board.update(sack(0, [[beyond, beyond + 1]]), 0, 0, 5000)).to.equal(0)
    expect(board.update(sack(0, [[2, 3]]), 0, 0, 5000)).to.equal(1)
    expect([board.ranges, board.sackedBytes]).to.deep.equal([MAX_SACKED_RANGES - 1, MAX_SACKED_RANGES + 1])
    expect(board.update(sack(0, [[beyond, beyond + 1]]), 0, 0, 5000)).to.equal(1)
  })

  it('property: agrees with RFC 6675 done byte by byte', () => {
    const SPACE = 160
    const MSS = 10
    const position = fc.nat(SPACE)
    const block = fc.tuple(position, fc.integer({ min: -3, max: 35 }))
    const step = fc.record({
      kind: fc.constantFrom('sack', 'sack', 'sack', 'ack', 'again', 'timeout', 'start', 'end', 'mark'),
      at: position,
      blocks: fc.array(block, { minLength: 1, maxLength: 4 }),
    })
    const bases = fc.constantFrom(0, -80, 0x7fffffff - 80, -0x80000000)
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), bases, (steps, base) => {
        const board = make(base | 0, MSS)
        const nxt = SPACE - 10
        const sacked = new Uint8Array(SPACE + 50)
        let una = 0
        let highRxt = 0
        /** What the sender said to be lost. */
        let said = 0
        const toSeq = (at: number): number => (base + at) | 0

        const byReports = (at: number): boolean => {
          let ranges = 0
          let bytes = 0
          for (let i = at + 1; i < nxt; i++) {
            if (sacked[i] === 0) continue
            bytes++
            if (sacked[i - 1] === 0 || i - 1 === at) ranges++
          }
          return ranges >= 3 || bytes > 2 * MSS
        }
        const isLost = (at: number): boolean => sacked[at] === 0 && (at < said || byReports(at))

        for (const { kind, at, blocks } of steps) {
          switch (kind) {
            case 'sack': {
              const real = blocks.map(([left, n]): Block => [left, left + n])
              let fresh = 0
              // The first may be a report of a duplicate; what it says has then arrived before.
              const [first, second] = real
              const duplicate =
                first![0] < una || (second !== undefined && first![0] >= second[0] && first![1] <= second[1])
              for (const [left, right] of duplicate ? real.slice(1) : real) {
                if (left >= right || right > nxt) continue
                for (let i = Math.max(left, una); i < right; i++) {
                  fresh += 1 - sacked[i]!
                  sacked[i] = 1
                }
              }
              const options = sack(base, real)
              expect(board.update(options, toSeq(una), toSeq(una), toSeq(nxt))).to.equal(fresh)
              expect(board.dsack).to.equal(duplicate && first![0] < first![1] && first![1] <= nxt)
              break
            }
            case 'ack':
              una = Math.max(una, Math.min(at, una + 30, nxt))
              sacked.fill(0, 0, una)
              board.update(none, toSeq(una), toSeq(una), toSeq(nxt))
              break
            case 'again':
              if (board.nextHole(toSeq(una))) {
                highRxt =
                  Math.min((board.holeLeft - base) | 0, nxt) +
                  Math.min(MSS, (board.holeRight - board.holeLeft) | 0)
                board.retransmitted(toSeq(highRxt))
              }
              break
            case 'timeout': {
              const reneged = sacked[una] === 1
              expect(board.timeout(toSeq(nxt))).to.equal(reneged)
              if (reneged) sacked.fill(0)
              said = nxt
              highRxt = una
              break
            }
            case 'start':
              board.startRecovery()
              highRxt = una
              break
            case 'end':
              board.endRecovery()
              said = 0
              highRxt = una
              break
            case 'mark':
              said = Math.max(said, Math.min(at, nxt))
              board.markLostTo(toSeq(Math.min(at, nxt)))
              break
          }
          highRxt = Math.max(highRxt, una)
          let pipe = 0
          let hole: [number, number] | null = null
          for (let i = una; i < nxt; i++) {
            const lost = isLost(i)
            if (board.isSacked(toSeq(i)) !== (sacked[i] === 1) || board.isLost(toSeq(i)) !== lost) {
              expect.fail(`byte ${i}: sacked ${sacked[i]}, lost ${lost} by the RFC`)
            }
            if (sacked[i] === 1) continue
            if (!lost) pipe++
            if (i < highRxt) pipe++
            if (lost && i >= highRxt) {
              if (hole === null) hole = [i, i + 1]
              else if (hole[1] === i) hole[1] = i + 1
            }
          }
          expect(board.pipe(toSeq(nxt))).to.equal(pipe)
          const found = board.nextHole(toSeq(una))
          expect(found ? [(board.holeLeft - base) | 0, (board.holeRight - base) | 0] : null).to.deep.equal(
            hole,
          )
          expect(board.sackedBytes).to.equal(sacked.reduce((sum, bit) => sum + bit, 0))
          expect((board.forwardAck - base) | 0).to.equal(Math.max(una, sacked.lastIndexOf(1) + 1))
        }
      }),
      { numRuns: 100 },
    )
  })
})
