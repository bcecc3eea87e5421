/**
 * As iproute2-rig.ts, with TUNs that somebody holds, so that they have a carrier, which can be taken from them: a
 * command `carrier tun0 off` is for the rig, and what follows it is a program of its own. Needs root and perl.
 */
import { spawnSync } from 'node:child_process'
import { IdleTun } from '../../lib/device/idle-tun.ts'
import { runProgram } from '../../lib/iproute2/ip.ts'
import { Stack } from '../../lib/stack/stack.ts'
import { VirtualClock } from '../../lib/time/virtual-clock.ts'

const DEVICES = ['tun0', 'tun1']

/** Opens the TUNs (TUNSETIFF: IFF_TUN without packet information; TUNSETPERSIST) and becomes a shell that keeps them open. */
const HOLD = `$^F = 99; our @held;
for (qw(${DEVICES.join(' ')})) {
  open(my $tun, "+<", "/dev/net/tun") or exit 99; push @held, $tun;
  my $request = pack("a16 s x22", $_, 0x1001); ioctl($tun, 0x400454ca, $request) or exit 99;
  ioctl($tun, 0x400454cb, 1) or exit 99;
}
exec "sh", "-s", "--", @ARGV;`

const PREPARE = `exec 2>&1
for which in all default lo ${DEVICES.join(' ')}; do echo 1 >/proc/sys/net/ipv6/conf/$which/disable_ipv6 || exit 99; done
`

/** A word that is no object, and fails softly: it comes after every command. */
const MARKER = /^Object "@@" is unknown, try "ip help"\.\nCommand failed -:\d+\n/gm

interface Program {
  readonly commands: readonly string[]
  /** What happens before it: the device and its carrier. */
  readonly carrier: readonly [string, boolean] | undefined
}

function programs(commands: readonly string[]): Program[] {
  const found: { commands: string[]; carrier: Program['carrier'] }[] = [{ commands: [], carrier: undefined }]
  for (const command of commands) {
    const [first, device, state] = command.split(' ')
    if (first === 'carrier') found.push({ commands: [], carrier: [device!, state === 'on'] })
    else found.at(-1)!.commands.push(command)
  }
  return found
}

const batch = (commands: readonly string[]): string => commands.map((line) => `${line}\n@@\n`).join('')

function texts(output: string): string[] {
  const found = output.split(MARKER)
  if (found.at(-1) === '') found.pop()
  return found
}

/** Where one program ends and the next begins, and the status of the former. */
const END = /\n@end (\d+)\n/

/** What each command printed, by program, and how each program ended. */
export interface HeldAnswer {
  texts: string[][]
  statuses: number[]
}

/** Runs a shell script in a namespace of its own; gives what was printed, cut at each end of a program. */
export function inNamespace(script: string, options: readonly string[] = []): string[] {
  const run = spawnSync('unshare', ['--net', 'perl', '-e', HOLD, '--', ...options], {
    input: PREPARE + script,
    encoding: 'utf8',
    timeout: 20_000,
  })
  if (run.status !== 0) throw new Error(`no namespace: ${run.stdout}${run.stderr}`)
  return run.stdout.split(END)
}

/** Ends a program. */
export const REPORT = `printf '\\n@end %d\\n' $?\n`

function changeCarrier([name, on]: readonly [string, boolean]): string {
  // The question makes the kernel look at the carrier now and not a moment later.
  const change = `ip link set ${name} carrier ${on ? 'on' : 'off'}; ip address show dev ${name}`
  return `(${change}) >/dev/null 2>&1\n`
}

export function heldKernelAnswers(options: readonly string[], commands: readonly string[]): HeldAnswer {
  const script = programs(commands).map(({ commands: own, carrier }) => {
    const change = carrier === undefined ? '' : changeCarrier(carrier)
    return `${change}taskset -c 0 ip "$@" -force -batch - <<'@END@'\n${batch(own)}@END@\n${REPORT}`
  })
  const pieces = inNamespace(script.join(''), options)
  const answer: HeldAnswer = { texts: [], statuses: [] }
  for (let at = 0; at + 1 < pieces.length; at += 2) {
    answer.texts.push(texts(pieces[at]!))
    answer.statuses.push(Number(pieces[at + 1]))
  }
  return answer
}

export function heldStack(): { stack: Stack; devices: Map<string, IdleTun> } {
  const stack = new Stack({ loopbackUp: false, clock: new VirtualClock() })
  const devices = new Map(DEVICES.map((name) => [name, new IdleTun(name, true)]))
  for (const device of devices.values()) stack.addDevice(device, { up: false })
  return { stack, devices }
}

export function heldStackAnswers(options: readonly string[], commands: readonly string[]): HeldAnswer {
  const { stack, devices } = heldStack()
  const answer: HeldAnswer = { texts: [], statuses: [] }
  for (const { commands: own, carrier } of programs(commands)) {
    if (carrier !== undefined) devices.get(carrier[0])!.carrier = carrier[1]
    let both = ''
    const take = (_: number, text: string): void => {
      both += text
    }
    const args = [...options, '-force', '-batch', '-']
    answer.statuses.push(runProgram(stack, args, take, () => ({ text: batch(own) })))
    answer.texts.push(texts(both))
  }
  stack.close().catch(() => {})
  return answer
}

/** A command as a program of its own: what it printed on both streams, and its status. */
export interface SingleAnswer {
  text: string
  status: number
}

/** Words are cut at spaces. */
export function heldKernelSingles(commands: readonly string[]): SingleAnswer[] {
  const lines = commands.map((command) => {
    const [first, device, state] = command.split(' ')
    if (first === 'carrier') return changeCarrier([device!, state === 'on']) + REPORT
    const words = command.split(' ').map((word) => `'${word}'`)
    return `taskset -c 0 ip ${words.join(' ')}\n${REPORT}`
  })
  const pieces = inNamespace(lines.join(''))
  return commands.map((_, index) => ({ text: pieces[2 * index]!, status: Number(pieces[2 * index + 1]) }))
}

export function heldStackSingles(commands: readonly string[]): SingleAnswer[] {
  const { stack, devices } = heldStack()
  const answers = commands.map((command) => {
    const words = command.split(' ')
    if (words[0] === 'carrier') {
      devices.get(words[1]!)!.carrier = words[2] === 'on'
      return { text: '', status: 0 }
    }
    let text = ''
    const take = (_: number, more: string): void => {
      text += more
    }
    return { status: runProgram(stack, words, take, () => 'No such file or directory'), text }
  })
  stack.close().catch(() => {})
  return answers
}
