/**
 * Nexthop objects: the same scripts of `ip` for the kernel and for the stack, with devices that have a carrier and
 * may lose it. What every command prints, how each program ends, and what the state then looks like must be the
 * same. Needs root, iproute2 and perl.
 *
 * IPROUTE2_SCRIPTS says how many scripts (for a long run), IPROUTE2_SEED which; a failure names its seed.
 */
import { expect } from 'chai'
import fc from 'fast-check'
import { nexthopCommand } from '../iproute2/arbitrary-nexthops.ts'
import { NEXTHOP_LISTS } from '../iproute2/nexthop-lists.ts'
import {
  heldKernelAnswers,
  heldKernelSingles,
  heldStackAnswers,
  heldStackSingles,
} from './iproute2-held-rig.ts'
import { comparable } from './iproute2-rig.ts'

const SCRIPTS = Number(process.env['IPROUTE2_SCRIPTS'] ?? 100)
const SEED = Number(process.env['IPROUTE2_SEED'] ?? 20251122)
const TIME_LIMIT = 60_000 + SCRIPTS * 400

const BEGIN = [
  'link set lo up',
  'link set tun0 up',
  'link set tun1 up',
  'address add 10.0.0.1/24 dev tun0',
  'address add 10.1.0.1/24 dev tun1',
]
/** The last program: it has nothing from those before. */
const SURVEY = ['carrier tun0 on', 'nexthop', 'route show table all', 'address']

const options = fc.oneof(
  { weight: 3, arbitrary: fc.constant<string[]>([]) },
  { weight: 3, arbitrary: fc.subarray(['-j', '-p', '-d', '-o', '-N', '-s'], { maxLength: 4 }) },
)

/** The first difference, for a reader; `undefined` if there is none. */
function difference(before: readonly string[], commands: readonly string[]): string | undefined {
  const theirs = heldKernelAnswers(before, commands)
  const own = heldStackAnswers(before, commands)
  const call = `ip ${before.join(' ')} -force -batch -`
  let at = 0
  for (const [program, texts] of theirs.texts.entries()) {
    for (const [index, text] of texts.entries()) {
      const answer = own.texts[program]?.[index]
      if (comparable(answer) === comparable(text)) continue
      const script = commands.slice(0, at + index).join('\n')
      return `${call}\n${script}\n>>> ${commands[at + index]}\n--- kernel\n${text}--- stack\n${answer}`
    }
    at += texts.length + 1
  }
  if (own.statuses.join() === theirs.statuses.join()) return undefined
  return `${call}\n${commands.join('\n')}\n>>> statuses ${theirs.statuses} of the kernel's, ${own.statuses} here`
}

describe('nexthop objects, and the kernel', function () {
  this.timeout(TIME_LIMIT)

  it(`answer ${SCRIPTS} scripts in the same words, seed ${SEED}`, () => {
    let compared = 0
    fc.assert(
      fc.property(options, fc.array(nexthopCommand, { maxLength: 50, size: 'max' }), (before, commands) => {
        const all = [...BEGIN, ...commands, ...SURVEY]
        compared += all.length
        const found = difference(before, all)
        if (found !== undefined) throw new Error(found)
      }),
      {
        seed: SEED,
        numRuns: SCRIPTS,
        interruptAfterTimeLimit: TIME_LIMIT - 20_000,
        markInterruptAsFailure: true,
        reporter: ({ failed, seed, counterexamplePath, errorInstance }) => {
          if (!failed) return
          const { message } = errorInstance as Error
          throw new Error(`seed ${seed}, path ${counterexamplePath}; the shortest script:\n${message}`)
        },
      },
    )
    console.log(`      ${compared} commands compared`)
    expect(compared).to.be.greaterThan(SCRIPTS * 20)
  })

  for (const [subject, commands] of Object.entries(NEXTHOP_LISTS)) {
    it(`answer single commands alike: ${subject}`, () => {
      const own = heldStackSingles(commands)
      for (const [index, theirs] of heldKernelSingles(commands).entries()) {
        const { text, status } = own[index]!
        expect({ text: comparable(text), status }, commands.slice(0, index + 1).join('\n')).to.deep.equal({
          text: comparable(theirs.text),
          status: theirs.status,
        })
      }
    })
  }
})
