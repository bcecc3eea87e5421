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
exec taskset -c 0 ip "$@" -force -batch -
`

/** What came of a script. */
export interface Answer {
  /** What each command printed, on both streams together. */
  texts: string[]
  status: number
}

const MARKER = /^Object "@\d+@" is unknown, try "ip help"\.\nCommand failed -:\d+\n/gm

/** A marker after every command: a word that is no object, and fails softly. */
function batch(commands: readonly string[]): string {
  return commands.map((line, index) => `${line}\n@${index}@\n`).join('')
}

function answer(both: string, status: number): Answer {
  const texts = both.split(MARKER)
  if (texts.at(-1) === '') texts.pop()
  return { texts, status }
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
export function kernelAnswers(options: readonly string[], commands: readonly string[]): Answer {
  const args = ['--net', 'sh', '-c', NAMESPACE, 'sh', ...options]
  const run = spawnSync('unshare', args, { input: batch(commands), encoding: 'utf8', timeout: 20_000 })
  if (run.status === 99 || run.status === null) throw new Error(`no namespace: ${run.stdout}${run.stderr}`)
  return answer(run.stdout, run.status)
}

/** What the stack answers. Time stands still, as it nearly does for the kernel. */
export function stackAnswers(options: readonly string[], commands: readonly string[]): Answer {
  const stack = new Stack({ loopbackUp: false, clock: new VirtualClock() })
  for (const name of DEVICES) stack.addDevice(new IdleTun(name), { up: false })
  let both = ''
  const args = [...options, '-force', '-batch', '-']
  const take = (_: number, text: string): void => {
    both += text
  }
  const status = runProgram(stack, args, take, () => ({ text: batch(commands) }))
  stack.close().catch(() => {})
  return answer(both, status)
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
