/**
 * Why does this machine route a packet so? Reads its configuration with `ip -j`, makes a stack of it, and lets that
 * explain, rule by rule, what becomes of a packet. Nothing is sent and nothing is changed; root is not needed.
 *
 *     node --import tsx examples/explain-machine.ts 8.8.8.8 192.168.1.255
 */
import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { fromKernel, ip } from '../lib/index.ts'
import { parseInteger, runProgram } from './command-line.ts'

const HELP = `Usage: node --import tsx examples/explain-machine.ts [option…] DESTINATION…

Explains where this machine sends packets for each destination.

  --from ADDRESS   the source to send from
  --mark N         the packet's mark (fwmark)
  --netns NAME     look at that network namespace (needs root)
  --save FILE      keep the configuration as JSON, for stackFromJson()
  --help           this text`

await runProgram(async () => {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      from: { type: 'string' },
      mark: { type: 'string' },
      netns: { type: 'string' },
      save: { type: 'string' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  })
  if (values.help || positionals.length === 0) return console.log(HELP)
  const { from, netns } = values
  const mark = parseInteger('mark', values.mark)

  const inside = netns === undefined ? [] : ['ip', 'netns', 'exec', netns]
  const { stack, configuration, skipped } = fromKernel({
    link: json(inside, '-d link show'),
    address: json(inside, 'address show'),
    route: json(inside, 'route show table all'),
    nexthop: ifPossible(inside, 'nexthop show'),
    rule: json(inside, '-d rule show'),
    // None while loopback is down.
    routeGet: ifPossible(inside, 'route get 127.0.0.1'),
    sysctl: run([...inside, 'sysctl', '--all', '--pattern', '^net[.]ipv4']),
  })
  await using _ = stack
  if (values.save !== undefined) writeFileSync(values.save, `${JSON.stringify(configuration, null, 2)}\n`)

  const six = skipped.filter(({ reason }) => reason.endsWith('no IPv6')).length
  for (const { path, reason } of skipped) {
    if (!reason.endsWith('no IPv6') && path !== 'sysctl')
      console.error(`not in the stack: ${path}: ${reason}`)
  }
  if (six > 0) console.error(`not in the stack: ${six} addresses and routes of IPv6`)

  for (const destination of positionals) {
    const { text } = stack.explain(destination, {
      ...(from === undefined ? {} : { source: from }),
      ...(mark === undefined ? {} : { mark }),
    })
    const words = ['route', 'get', destination, ...(from === undefined ? [] : ['from', from])]
    if (mark !== undefined) words.push('mark', `${mark}`)
    const { stdout, stderr } = ip(stack, words)
    console.log(`${text}\n$ ip ${words.join(' ')}\n${stdout}${stderr}`)
  }
})

function run(command: readonly string[]): string {
  const [file, ...args] = command
  // Some settings are for root only: sysctl complains, and prints the rest.
  return execFileSync(file!, args, {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
    maxBuffer: 1 << 30,
  })
}

function json(inside: readonly string[], command: string): unknown {
  return JSON.parse(run([...inside, 'ip', '-N', '-j', ...command.split(' ')]) || '[]')
}

/** `undefined` where it fails. */
function ifPossible(inside: readonly string[], command: string): unknown {
  try {
    return json(inside, command)
  } catch {
    return undefined
  }
}
