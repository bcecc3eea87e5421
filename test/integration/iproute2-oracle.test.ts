/**
 * iproute2 as oracle: one random batch of commands is given to `ip -force -batch` in a network namespace and to
 * `ipBatch` on a stack with the same devices, and every line that either prints must be the same. Needs root.
 * IPROUTE2_ORACLE_SEED and IPROUTE2_ORACLE_COMMANDS repeat or lengthen a run.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { expect } from 'chai'
import { IdleTun } from '../../lib/device/idle-tun.ts'
import { ip, runProgram } from '../../lib/iproute2/ip.ts'
import { Random } from '../../lib/random/random.ts'
import { seededRandom } from '../../lib/random/seeded.ts'
import { Stack } from '../../lib/stack/stack.ts'
import { COMMAND_LISTS } from '../iproute2/command-lists.ts'
import { CommandGenerator, SINGLE_COMMANDS, TEARDOWN } from '../iproute2/random-commands.ts'

const SEED = Number(process.env['IPROUTE2_ORACLE_SEED'] ?? 20251122)
const COMMANDS = Number(process.env['IPROUTE2_ORACLE_COMMANDS'] ?? 250)
const SEQUENCES = 4
const DEVICES = ['tun0', 'tun1']

/** What the state looks like, asked after every few commands. */
const SURVEY = ['address show', 'link show', 'route show', 'route show table all', 'rule show']

interface Answer {
  /** What each command printed, on both streams together. */
  texts: string[]
  status: number
}

/** Marks the end of a command's output: a word that is no object, and fails softly. */
const marker = (index: number): string => `@${index}@`
const MARKER = /^Object "@\d+@" is unknown, try "ip help"\.\nCommand failed -:\d+\n/m

/** The batch with a marker after every command. */
function marked(commands: readonly string[]): string {
  return `${commands.map((command, index) => `${command}\n${marker(index)}`).join('\n')}\n`
}

/** A device that was just brought up: the kernel finds out a moment later that it has no carrier. */
const BRINGS_UP = / up\b/
const UNSETTLED = /<POINTOPOINT,MULTICAST,NOARP,UP>/

/** Cuts the commands after each that brings a device up, so that one can wait there. */
function segments(commands: readonly string[]): string[][] {
  const all: string[][] = [[]]
  for (const command of commands) {
    all.at(-1)!.push(command)
    if (BRINGS_UP.test(command)) all.push([])
  }
  return all.filter((segment) => segment.length > 0)
}

function split(both: string, status: number): Answer {
  const texts = both.split(new RegExp(MARKER, 'gm'))
  return { texts: texts.slice(0, -1).concat(texts.at(-1) === '' ? [] : texts.slice(-1)), status }
}

describe('iproute2 against the real one', function () {
  this.timeout(120_000)
  const namespace = `tunstack-${process.pid}-iproute2`

  before(() => console.log(`      ${execFileSync('ip', ['-V'], { encoding: 'utf8' }).trim()}`))

  beforeEach(() => {
    execFileSync('ip', ['netns', 'add', namespace])
    for (const which of ['all', 'default', 'lo']) {
      const setting = `net.ipv6.conf.${which}.disable_ipv6=1`
      execFileSync('ip', ['netns', 'exec', namespace, 'sysctl', '-qw', setting])
    }
    for (const name of DEVICES) {
      execFileSync('ip', ['-n', namespace, 'tuntap', 'add', 'dev', name, 'mode', 'tun'])
    }
  })
  afterEach(() => void execFileSync('ip', ['netns', 'del', namespace]))

  /** Waits until the kernel knows of every device whether it has a carrier; it looks once a second at most. */
  function settle(): void {
    for (let tries = 0; tries < 150; tries++) {
      const links = execFileSync('ip', ['-n', namespace, 'link', 'show'], { encoding: 'utf8' })
      if (!UNSETTLED.test(links)) return
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20)
    }
    throw new Error('a device without carrier still counts as running after 3 s')
  }

  function kernel(commands: readonly string[]): Answer {
    const script = `exec ip -n ${namespace} -force -batch - 2>&1`
    const run = spawnSync('sh', ['-c', script], {
      input: marked(commands),
      encoding: 'utf8',
      timeout: 60_000,
    })
    if (commands.some((command) => BRINGS_UP.test(command))) settle()
    return split(run.stdout, run.status ?? -1)
  }

  function ours(stack: Stack, commands: readonly string[]): Answer {
    let both = ''
    const take = (_: number, text: string): void => {
      both += text
    }
    const status = runProgram(stack, ['-force', '-batch', '-'], take, () => ({ text: marked(commands) }))
    return split(both, status)
  }

  function newStack(): Stack {
    const stack = new Stack({ loopbackUp: false })
    for (const name of DEVICES) stack.addDevice(new IdleTun(name), { up: false })
    return stack
  }

  for (let sequence = 0; sequence < SEQUENCES; sequence++) {
    const seed = SEED + sequence
    it(`prints the same for ${COMMANDS} random commands, seed ${seed}`, async () => {
      const generator = new CommandGenerator(new Random(seededRandom(seed)), sequence % 2 === 1, sequence > 1)
      const commands: string[] = ['link set lo up', 'link set tun0 up']
      while (commands.length < COMMANDS) {
        commands.push(generator.next())
        if (commands.length % 12 === 0) commands.push(...SURVEY)
      }
      commands.push(...SURVEY)
      const stack = newStack()
      const done: string[] = []
      for (const segment of segments(commands)) {
        const theirs = kernel(segment)
        const own = ours(stack, segment)
        for (const [index, command] of segment.entries()) {
          if (!SURVEY.includes(command)) done.push(command)
          const context = `seed ${seed}, at '${command}' after\n${done.join('\n')}\n`
          expect(own.texts[index], context).to.equal(theirs.texts[index])
        }
        expect(own.status, `status, seed ${seed}`).to.equal(theirs.status)
      }
      await stack.close()
    })
  }

  it('prints the same for single commands, and ends with the same status', async () => {
    const stack = newStack()
    for (const command of SINGLE_COMMANDS) {
      const args = ['-n', namespace, ...command.split(' ')]
      const run = spawnSync('ip', args, { encoding: 'utf8' })
      if (BRINGS_UP.test(command)) settle()
      const theirs = { stdout: run.stdout, stderr: run.stderr, status: run.status }
      const own = ip(stack, command)
      expect({ ...own }, command).to.deep.equal(theirs)
    }
    await stack.close()
  })

  for (const [subject, commands] of Object.entries(COMMAND_LISTS)) {
    it(`prints the same for single commands: ${subject}`, async () => {
      const stack = newStack()
      for (const command of commands) {
        const args = ['-n', namespace, ...command.split(' ')]
        const { stdout, stderr, status } = spawnSync('ip', args, { encoding: 'utf8' })
        if (BRINGS_UP.test(command)) settle()
        expect({ ...ip(stack, command) }, command).to.deep.equal({ stdout, stderr, status })
      }
      await stack.close()
    })
  }

  it('leaves nothing behind that the flush of everything would not take', async () => {
    const stack = newStack()
    for (const commands of segments([...TEARDOWN, ...SURVEY])) {
      expect(ours(stack, commands)).to.deep.equal(kernel(commands))
    }
    await stack.close()
  })
})
