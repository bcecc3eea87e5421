/**
 * `tunstack exec … -- node app.js`: a program that knows nothing of a stack, with a stack for its network. The stack
 * lives in the program's own process: Node is told by its environment to load it first.
 */
import { spawn } from 'node:child_process'
import { constants } from 'node:os'
import { parseArgs } from 'node:util'
import { write } from './streams.ts'

export const EXEC_USAGE = `Usage: tunstack exec [OPTIONS] -- COMMAND [ARGUMENT...]

Runs a program of Node whose net, dgram, http, https, tls, dns and fetch use a stack instead of the kernel.

  --tun NAME            the TUN device that the stack is attached to; it is made if there is none
  --no-tun              none: a loopback, in which the program can talk to itself (the default)
  --address ADDRESS     an address of the stack on it, as 10.9.0.1/24; may be repeated
  --route ROUTE         a route, as 'ip route add' takes it: 'default via 10.9.0.254'; may be repeated
  --mtu BYTES           the MTU of the device
  --script FILE         commands for 'ip -batch', run last
  --hosts FILE          names, as in /etc/hosts
  --dns SERVER          a DNS server, asked through the stack: 10.9.0.254 or 10.9.0.254:5353; may be repeated
  --help                this text
`

/** Where the module is that changes a process: beside this one, as source or as built. */
const REGISTER = new URL(
  `../node/register${import.meta.url.slice(import.meta.url.lastIndexOf('.'))}`,
  import.meta.url,
)

export async function execCommand(args: readonly string[]): Promise<number> {
  const end = args.indexOf('--')
  const command = end < 0 ? [] : args.slice(end + 1)
  let values: ReturnType<typeof parse>
  try {
    values = parse(end < 0 ? args : args.slice(0, end))
  } catch (error) {
    return misuse((error as Error).message)
  }
  if (values.help) {
    write(1, EXEC_USAGE)
    return 0
  }
  const [file, ...rest] = command
  if (file === undefined) return misuse("a command is needed, after '--'")
  if (values.tun !== undefined && values['no-tun']) return misuse('say either --tun or --no-tun')
  return await run(file, rest, environment(values))
}

function parse(args: readonly string[]) {
  return parseArgs({
    args: [...args],
    options: {
      tun: { type: 'string' },
      'no-tun': { type: 'boolean', default: false },
      address: { type: 'string', multiple: true, default: [] },
      route: { type: 'string', multiple: true, default: [] },
      mtu: { type: 'string' },
      script: { type: 'string' },
      hosts: { type: 'string' },
      dns: { type: 'string', multiple: true, default: [] },
      help: { type: 'boolean', short: 'h', default: false },
    },
  }).values
}

/** What {@link defaultSockets} reads. What is not said here is not taken over from outside. */
function environment(values: ReturnType<typeof parse>): NodeJS.ProcessEnv {
  const before = process.env['NODE_OPTIONS']
  return {
    ...process.env,
    NODE_OPTIONS: `${before ? `${before} ` : ''}--import=${REGISTER.href}`,
    TUNSTACK_TUN: values.tun ?? '',
    TUNSTACK_ADDRESS: values.address.join(' '),
    TUNSTACK_ROUTE: values.route.join(';'),
    TUNSTACK_MTU: values.mtu ?? '',
    TUNSTACK_SCRIPT: values.script ?? '',
    TUNSTACK_HOSTS: values.hosts ?? '',
    TUNSTACK_DNS: values.dns.join(' '),
  }
}

/** Signals go to the program, and its end is this one's. */
function run(file: string, args: readonly string[], env: NodeJS.ProcessEnv): Promise<number> {
  return new Promise((resolve) => {
    const child = spawn(file, args, { env, stdio: 'inherit' })
    const signals = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR2'] as const
    for (const signal of signals) process.on(signal, () => child.kill(signal))
    child.on('error', (error: NodeJS.ErrnoException) => {
      write(2, `tunstack: ${file}: ${error.code === 'ENOENT' ? 'no such command' : error.message}\n`)
      resolve(error.code === 'ENOENT' ? 127 : 126)
    })
    child.on('close', (status, signal) => {
      resolve(status ?? 128 + constants.signals[signal!])
    })
  })
}

function misuse(message: string): number {
  write(2, `tunstack exec: ${message}\n${EXEC_USAGE}`)
  return 2
}
