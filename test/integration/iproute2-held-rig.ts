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

export function heldKernelAnswers(options: readonly string[], commands: readonly string[]): HeldAnswer {
  const script = programs(commands).map(({ commands: own, carrier }) => {
    // The question makes the kernel look at the carrier now and not a moment later.
    const change =
      carrier === undefined
        ? ''
        : `(ip link set ${carrier[0]} carrier ${carrier[1] ? 'on' : 'off'}; ip address show dev ${carrier[0]}) >/dev/null 2>&1\n`
    return `${change}taskset -c 0 ip "$@" -force -batch - <<'@END@'\n${batch(own)}@END@\nprintf '\\n@end %d\\n' $?\n`
  })
  const run = spawnSync('unshare', ['--net', 'perl', '-e', HOLD, '--', ...options], {
    input: PREPARE + script.join(''),
    encoding: 'utf8',
    timeout: 20_000,
  })
  if (run.status !== 0) throw new Error(`no namespace: ${run.stdout}${run.stderr}`)
  const pieces = run.stdout.split(END)
  const answer: HeldAnswer = { texts: [], statuses: [] }
  for (let at = 0; at + 1 < pieces.length; at += 2) {
    answer.texts.push(texts(pieces[at]!))
    answer.statuses.push(Number(pieces[at + 1]))
  }
  return answer
}

export function heldStackAnswers(options: readonly string[], commands: readonly string[]): HeldAnswer {
  const stack = new Stack({ loopbackUp: false, clock: new VirtualClock() })
  const devices = new Map(DEVICES.map((name) => [name, new IdleTun(name, true)]))
  for (const device of devices.values()) stack.addDevice(device, { up: false })
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
