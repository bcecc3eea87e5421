/**
 * The same scripts of `ip` for the kernel and for the stack. What every command prints, how the program ends, and
 * what the state then looks like, down to the routes of hundreds of packets, must be the same. fast-check generates
 * the scripts and cuts a failing one down to the shortest. Needs root and iproute2.
 *
 * IPROUTE2_SCRIPTS says how many scripts (for a long run), IPROUTE2_SEED which; a failure names its seed.
 */
import { execFileSync } from 'node:child_process'
import { expect } from 'chai'
import fc from 'fast-check'
import { batchOptions, command, routeGet } from '../iproute2/arbitrary-commands.ts'
import { oddity, program, setting } from '../iproute2/arbitrary-oddities.ts'
import { comparable, kernelAnswers, type Surroundings, settling, stackAnswers } from './iproute2-rig.ts'

const SCRIPTS = Number(process.env['IPROUTE2_SCRIPTS'] ?? 250)
const SEED = Number(process.env['IPROUTE2_SEED'] ?? 20251122)
/** A long run may take its time; one script takes about 50 ms. */
const TIME_LIMIT = 60_000 + SCRIPTS * 400

/** What the state looks like at the end. */
const SURVEY = ['address', 'link', 'rule', 'route show table all', 'route show table 1']

const line = fc.oneof({ weight: 12, arbitrary: command }, { weight: 1, arbitrary: oddity })
const script = fc.array(line, { maxLength: 60, size: 'max' })
const surroundings = fc.record({
  settings: fc.array(setting, { maxLength: 3 }),
  programs: fc.array(program, { maxLength: 3 }),
})
const questions = fc.array(routeGet, { maxLength: 120, size: 'max' })

/** The first difference, for a reader; `undefined` if there is none. */
function difference(
  options: readonly string[],
  commands: readonly string[],
  around: Surroundings,
): string | undefined {
  const theirs = kernelAnswers(options, commands, around)
  const own = stackAnswers(options, commands, around)
  const settings = (around.settings ?? []).map(([name, value]) => `${name} = ${value}\n`).join('')
  const call = `${settings}ip ${options.join(' ')} -force -batch -`
  for (const [index, text] of theirs.texts.entries()) {
    if (comparable(own.texts[index]) === comparable(text)) continue
    const before = commands.slice(0, index).join('\n')
    return `${call}\n${before}\n>>> ${commands[index]}\n--- kernel\n${text}--- stack\n${own.texts[index]}`
  }
  const ended = own.status === theirs.status && own.texts.length === theirs.texts.length
  for (const [index, text] of theirs.programs.entries()) {
    if (!ended || comparable(own.programs[index]) === comparable(text)) continue
    const before = [...commands, ...(around.programs ?? []).slice(0, index).map((each) => `ip ${each}`)]
    const asked = `>>> ip ${around.programs?.[index]}`
    return `${call}\n${before.join('\n')}\n${asked}\n--- kernel\n${text}\n--- stack\n${own.programs[index]}`
  }
  if (ended) return undefined
  return `${call}\n${commands.join('\n')}\n>>> exit status ${theirs.status} of the kernel's, ${own.status} here`
}

describe('iproute2 and the kernel', function () {
  this.timeout(TIME_LIMIT)
  before(() => console.log(`      ${execFileSync('ip', ['-V'], { encoding: 'utf8' }).trim()}`))

  it(`answer ${SCRIPTS} scripts in the same words, seed ${SEED}`, () => {
    let compared = 0
    fc.assert(
      fc.property(batchOptions, script, questions, surroundings, (options, commands, gets, around) => {
        // The kernel counts a realm until some time after its route is gone, and then looks at input more closely.
        const lines = [...commands, ...around.programs]
        const apart = lines.some((each) => / re?a?l?m?s? /.test(each)) ? / iif / : /^$/
        const isComparable = (each: string): boolean => /^(-\S+ )*ru/.test(each) || !apart.test(each)
        const all = ['link set lo up', ...settling(commands), ...SURVEY, ...gets].filter(isComparable)
        const programs = around.programs.filter(isComparable)
        compared += all.length + programs.length
        const found = difference(options, all, { ...around, programs })
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
})
