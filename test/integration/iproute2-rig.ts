/**
 * A script of `ip`, run by iproute2 in a network namespace that lives as long as it does, and by the stack: what
 * each command printed, to be compared. Needs root.
 */
import { spawnSync } from 'node:child_process'
import { IdleTun } from '../../lib/device/idle-tun.ts'
import { runProgram } from '../../lib/iproute2/ip.ts'
import { Stack } from '../../lib/stack/stack.ts'
import { VirtualClock } from '../../lib/time/virtual-clock.ts'

const DEVICES = ['tun0', 'tun1']
/** One processor alone: each keeps decisions of its own. */
const NAMESPACE = `
for which in all default lo; do echo 1 >/proc/sys/net/ipv6/conf/$which/disable_ipv6 || exit 99; done
ip -batch - <<END || exit 99
${DEVICES.map((name) => `tuntap add dev ${name} mode tun`).join('\n')}
END
exec 2>&1
`
const BATCH = 'taskset -c 0 ip "$@" -force -batch -\n'
/** Between what came of the batch and of the programs after it, each with its status. */
const MARK = '\u0001'

/** What comes before a batch, and after it. */
export interface Surroundings {
  /** Names and values under `/proc/sys`. */
  settings?: readonly (readonly [string, string])[]
  /** Commands that are programs of their own, their words cut at spaces. */
  programs?: readonly string[]
}

/** What came of a script. */
export interface Answer {
  /** What each command printed, on both streams together. */
  texts: string[]
  status: number
  /** What each program of its own printed, and its status. */
  programs: string[]
}

const MARKER = /^Object "@\d+@" is unknown, try "ip help"\.\nCommand failed -:\d+\n/gm

/** A marker after every command: a word that is no object, and fails softly. */
function batch(commands: readonly string[]): string {
  return commands.map((line, index) => `${line}\n@${index}@\n`).join('')
}

function answer(both: string, status: number, programs: string[]): Answer {
  const texts = both.split(MARKER)
  if (texts.at(-1) === '') texts.pop()
  return { texts, status, programs }
}

/** The kernel is asked whether the devices have a carrier, as in {@link settling}. */
const SETTLE = DEVICES.map((name) => `ip link show ${name} >/dev/null 2>&1\n`).join('')

function quoted(command: string): string {
  return command
    .split(' ')
    .map((word) => `'${word}'`)
    .join(' ')
}

/**
 * The kernel looks a moment later whether a device that came up has a carrier, or at once when it is asked about that
 * very device: so it is asked.
 */
export function settling(commands: readonly string[]): string[] {
  const questions = DEVICES.map((name) => `address show dev ${name}`)
  return commands.flatMap((command) => (/\bup\b/.test(command) ? [command, ...questions] : [command]))
}

/** What iproute2 and the kernel answer. @param options of `ip`, before the batch */
export function kernelAnswers(
  options: readonly string[],
  commands: readonly string[],
  { settings = [], programs = [] }: Surroundings = {},
): Answer {
  const mark = `printf '\\001%s\\001' $?\n`
  const script = [
    NAMESPACE,
    ...settings.map(([name, value]) => `echo ${value} >/proc/sys/${name.replaceAll('.', '/')}\n`),
    BATCH,
    mark,
    ...programs.map(
      (command) => `taskset -c 0 ip ${quoted(command)}\n${mark}${/\bup\b/.test(command) ? SETTLE : ''}`,
    ),
  ].join('')
  const args = ['--net', 'sh', '-c', script, 'sh', ...options]
  const run = spawnSync('unshare', args, { input: batch(commands), encoding: 'utf8', timeout: 20_000 })
  if (run.status === 99 || run.status === null) throw new Error(`no namespace: ${run.stdout}${run.stderr}`)
  const [both, status, ...rest] = run.stdout.split(MARK)
  const ends = programs.map((_, index) => `${rest[2 * index]}${MARK}${rest[2 * index + 1]}`)
  return answer(both!, Number(status), ends)
}

/** What the stack answers. Time stands still, as it nearly does for the kernel. */
export function stackAnswers(
  options: readonly string[],
  commands: readonly string[],
  { settings = [], programs = [] }: Surroundings = {},
): Answer {
  const stack = new Stack({ loopbackUp: false, clock: new VirtualClock() })
  for (const name of DEVICES) stack.addDevice(new IdleTun(name), { up: false })
  for (const [name, value] of settings) stack.sysctl.set(name, value)
  let both = ''
  const args = [...options, '-force', '-batch', '-']
  const take = (_: number, text: string): void => {
    both += text
  }
  const status = runProgram(stack, args, take, () => ({ text: batch(commands) }))
  const texts = both
  const ends = programs.map((command) => {
    both = ''
    const end = runProgram(stack, command.split(' '), take, () => 'no file')
    return `${both}${MARK}${end}`
  })
  stack.close().catch(() => {})
  return answer(texts, status, ends)
}

/**
 * Usage texts are each project's own. With `-s`, how long ago a decision was used is said if any tick of the clock
 * has passed since, which is chance.
 */
export function comparable(text: string | undefined): string | undefined {
  return text?.startsWith('Usage: ip ')
    ? 'Usage: ip\n'
    : text?.replace(/ age 0sec|,\s*"age": ?0(?=[,\s}])/g, '')
}
