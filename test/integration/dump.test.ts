/**
 * `ip route|address|rule save`, `restore` and `showdump` against iproute2: the same bytes for the same state but for
 * the numbers of requests and ports and for times; files of the kernel go into a stack and those of a stack into the
 * kernel, with the same words and the same routes, addresses and rules in the end. Needs root and perl.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import fc from 'fast-check'
import { ip, runProgram } from '../../lib/iproute2/ip.ts'
import { messages } from '../../lib/iproute2/netlink.ts'
import type { Stack } from '../../lib/stack/stack.ts'
import { command } from '../iproute2/arbitrary-commands.ts'
import { nexthopCommand } from '../iproute2/arbitrary-nexthops.ts'
import { heldStack, inNamespace, REPORT } from './iproute2-held-rig.ts'

const UP = ['link set lo up', 'link set tun0 up', 'link set tun1 up']
const SETUP = `
address add 10.0.0.1/24 brd + dev tun0 label tun0:x valid_lft 1000 preferred_lft 500
address add 10.0.0.2/24 dev tun0 preferred_lft 0
address add 10.1.0.1 peer 10.1.0.9/30 dev tun1 metric 5
address add 10.2.0.1/24 scope link dev tun1 noprefixroute
route add 20/8 via 10.0.0.7 metric 5 mtu lock 1400 proto static src 10.0.0.1
route add 20.1/16 via 10.0.0.7 table 100 src 10.0.0.1 rtt 1s rto_min 200ms hoplimit 7 features ecn quickack 1
route add 21/8 nexthop via 10.0.0.7 weight 3 nexthop dev tun1 realms 5 nexthop via 10.0.0.9 dev tun0 onlink
route add blackhole 22/8 tos 0x10
route add 24/8 dev tun0 realms 6 congctl cubic
route add 25/8 via 99.1.1.1 dev tun1 onlink table 70000
route add multicast 239/8 dev tun1
route add default via 10.0.0.7
rule add from 10/8 to 11/8 fwmark 5/0xff iif tun0 tos 0x10 ipproto tcp dport 5-6 uidrange 1-2 table 300 suppress_prefixlength 3 realms 5/6 prio 77 proto static
rule add not oif gone sport 7 suppress_ifgroup 5 table 70000 prio 76
rule add goto 88 prio 78
rule add tun_id 0x102030405060708 prio 75
rule add prohibit prio 79
rule add nop prio 88
`
  .trim()
  .split('\n')

const SAVES = ['route save table all', 'route save', 'route save dev tun0', 'address save', 'rule save']
const SHOWN = ['-4 route show table all', 'address show', 'rule show']

interface Answer {
  text: string
  status: number
}

/** Runs commands of `ip` in a namespace, each a program of its own; `<` and `>` are the shell's. */
function kernel(commands: readonly string[]): Answer[] {
  const pieces = inNamespace(commands.map((line) => `ip ${line}\n${REPORT}`).join(''))
  return commands.map((_, index) => ({ text: pieces[2 * index]!, status: Number(pieces[2 * index + 1]) }))
}

function own(stack: Stack, line: string, input?: Uint8Array): Answer & { bytes: Uint8Array } {
  let text = ''
  const written: Uint8Array[] = []
  const status = runProgram(
    stack,
    line.split(' '),
    (_, more) => {
      text += more
    },
    () => 'No such file or directory',
    {
      input: () => input ?? new Uint8Array(0),
      inputIsTerminal: false,
      inputIsFile: true,
      outputIsTerminal: false,
      write: (bytes) => void written.push(bytes),
    },
  )
  return { text, status, bytes: Buffer.concat(written) }
}

/** Without what differs from one program to the next: the request's number and port, and an address's times. */
function comparable(file: Uint8Array): string[] {
  const lines = [Buffer.from(file.subarray(0, 4)).toString('hex')]
  for (const { type, flags, payload } of messages(file, 4)) {
    const bytes = Buffer.from(payload)
    if (type === 20) bytes.fill(0, bytes.length - 8)
    lines.push(`${type} ${flags} ${bytes.toString('hex')}`)
  }
  return lines
}

describe('dumps of ip, and iproute2', function () {
  this.timeout(120_000)
  let folder: string
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'tunstack-dump-'))
  })
  afterEach(() => rmSync(folder, { recursive: true }))

  const file = (name: string): string => join(folder, name)

  function configured(commands: readonly string[]): Stack {
    const { stack } = heldStack()
    for (const line of commands) own(stack, line)
    return stack
  }

  /** What both save after the same commands; the stack's files are named `s…`, the kernel's `k…`. */
  function saveBoth(commands: readonly string[]): Stack {
    const stack = configured(commands)
    kernel([...commands, ...SAVES.map((line, index) => `${line} >${file(`k${index}`)}`)])
    for (const [index, line] of SAVES.entries()) {
      const { bytes } = own(stack, line)
      writeFileSync(file(`s${index}`), bytes)
      expect(comparable(bytes), line).to.deep.equal(comparable(readFileSync(file(`k${index}`))))
    }
    return stack
  }

  /** Restores the files in a fresh namespace and in a fresh stack: words, statuses, and what is there then. */
  function restoreBoth(before: readonly string[], which: 'k' | 's'): void {
    const restores = ['address restore', 'route restore', 'rule restore']
    const files = [3, 0, 4].map((index) => file(`${which}${index}`))
    const theirs = kernel([
      ...before,
      ...restores.map((line, index) => `${line} <${files[index]}`),
      ...SHOWN,
    ]).slice(before.length)
    const stack = configured(before)
    const ours = [
      ...restores.map((line, index) => own(stack, line, readFileSync(files[index]!))),
      ...SHOWN.map((line) => own(stack, line)),
    ].map(({ text, status }) => ({ text, status }))
    expect(ours).to.deep.equal(theirs)
    void stack.close()
  }

  for (const which of ['k', 's'] as const) {
    it(`are the same bytes, and ${which === 'k' ? 'the kernel’s' : 'a stack’s'} go into both`, async () => {
      await saveBoth([...UP, ...SETUP]).close()
      restoreBoth(UP, which)
      restoreBoth([...UP, ...SETUP], which)
      restoreBoth([], which)
    })
  }

  it('with nexthop objects', async () => {
    const objects = [
      'nexthop add id 1 via 10.0.0.5 dev tun0',
      'nexthop add id 2 dev tun1',
      'nexthop add id 3 group 1,3/2',
      'route add 30/8 nhid 1',
      'route add 31/8 nhid 3',
    ]
    await saveBoth([...UP, SETUP[0]!, ...objects]).close()
    restoreBoth([...UP, SETUP[0]!, ...objects.slice(0, 3)], 'k')
  })

  it('are shown alike, whole and broken', async () => {
    const stack = saveBoth([...UP, ...SETUP])
    const whole = [0, 3, 4].map((index) => readFileSync(file(`k${index}`)))
    const withLength = (bytes: Buffer, length: number): Buffer => {
      const copy = Buffer.from(bytes)
      copy.writeInt32LE(length, 4)
      return copy
    }
    const inputs: Buffer[] = [...whole, Buffer.alloc(0), Buffer.of(1, 2)]
    for (const bytes of whole) {
      inputs.push(bytes.subarray(0, bytes.length - 3), bytes.subarray(0, 4), bytes.subarray(0, 14))
      inputs.push(...[7, 99999, -1].map((length) => withLength(bytes, length)))
    }
    const asked: [string, number][] = []
    inputs.forEach((bytes, index) => {
      writeFileSync(file(`b${index}`), bytes)
      for (const options of ['', '-d ', '-j ', '-o ', '-N ']) {
        asked.push([`${options}route showdump`, index], [`${options}address showdump`, index])
      }
      for (const subject of ['route', 'address', 'rule']) asked.push([`${subject} restore`, index])
    })
    const theirs = kernel([...UP, ...SETUP, ...asked.map(([line, index]) => `${line} <${file(`b${index}`)}`)])
    for (const [at, [line, index]] of asked.entries()) {
      const { text, status } = own(stack, line, inputs[index]!)
      const context = `${line} of ${inputs[index]!.toString('hex').slice(0, 60)}`
      expect({ text, status }, context).to.deep.equal(theirs[UP.length + SETUP.length + at])
    }
    await stack.close()
  })

  it('of random configurations are the same bytes', async () => {
    for (let seed = 1; seed <= 25; seed++) {
      const changes = fc
        .sample(fc.oneof(command, nexthopCommand), { seed, numRuns: 60 })
        .filter((line) => !/^carrier|^#|'| show| get|flush|link del/.test(line))
      await saveBoth([...UP, ...changes]).close()
    }
  })

  it('are not sent to a terminal, nor read from one, nor twice from a pipe', async () => {
    const { stack } = heldStack()
    const run = (line: string): Answer => {
      let text = ''
      const take = (_: number, more: string): void => {
        text += more
      }
      return { status: runProgram(stack, line.split(' '), take, () => ''), text }
    }
    const lines = ['route', 'address', 'rule'].flatMap((each) => [`${each} save`, `${each} restore`])
    const ours = [...lines, 'route showdump', 'address showdump'].map(run)
    const shell = [...lines, 'route showdump', 'address showdump'].map((line) => {
      const quoted = `ip ${line}; echo "[$?]"`
      return `script -qc '${quoted}' /dev/null </dev/null\n${REPORT}`
    })
    const pieces = inNamespace(shell.join(''))
    expect(ours.map(({ text, status }) => `${text}[${status}]\n`)).to.deep.equal(
      ours.map((_, index) => pieces[2 * index]!.replaceAll('\r', '').replaceAll('^D\b\b', '')),
    )
    await stack.close()
  })

  it('are bytes beside the text of what ip() gives', async () => {
    const stack = configured([...UP, ...SETUP])
    const saved = ip(stack, 'route save table 100')
    expect(saved.stdout).to.equal('')
    expect(saved.bytes).to.have.length.greaterThan(20)
    ip(stack, 'route flush table 100')
    expect(ip(stack, 'route restore', { input: saved.bytes! }).status).to.equal(0)
    expect(ip(stack, 'route show table 100').stdout).to.match(/^20\.1\.0\.0\/16 via 10\.0\.0\.7 /)
    await stack.close()
  })
})
