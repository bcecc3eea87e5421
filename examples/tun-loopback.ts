/**
 * A stack behind a real TUN device: it has 10.0.3.1/24 on its *loopback* device, and so answers the kernel's
 * `ping` to any address of that prefix. Every packet is shown, with the rule, the table and the route that
 * decided what becomes of it.
 *
 *     kernel 10.9.0.1 ──TUN── 10.9.0.2 stack, lo: 10.0.3.1/24
 *
 * Run it as root with `node --import tsx examples/tun-loopback.ts --route`, and ping 10.0.3.2.
 */
import { execFileSync } from 'node:child_process'
import { closeSync, openSync, writeSync } from 'node:fs'
import { networkInterfaces } from 'node:os'
import { parseArgs } from 'node:util'
import { IPv4CidrRange } from 'ip-num'
import { openTun } from '../lib/device/tun/index.ts'
import { type CaptureRecord, formatIpv4Packet, Stack } from '../lib/index.ts'
import { parseDuration, parseInteger, runProgram, untilEnd } from './command-line.ts'

const HELP = `Usage: node --import tsx examples/tun-loopback.ts [option…]

Opens a TUN device and answers, in TypeScript, what the kernel sends to it.

  --name NAME           the TUN's name (tunstack0); one that exists is attached to
  --kernel-address A/N  the kernel's side of the link (10.9.0.1/24)
  --tun-address A/N     the stack's side of the link (10.9.0.2/24)
  --lo-address A/N      an address of the stack's loopback device (10.0.3.1/24); may be repeated
  --mtu BYTES           MTU of the link (1500 for a new TUN)
  --route               have the kernel route the loopback's prefixes to the stack: runs 'ip route replace'
  --pcapng FILE         write what crosses the TUN to FILE, for Wireshark or tcpdump
  --quiet               don't show packets
  --json                one JSON object per line instead of text
  --for TIME            end after 5s, 500ms, 2m
  --help                this text

It ends with status 0 at SIGINT, SIGTERM or --for, and with status 1 if something is wrong.`

await runProgram(async () => {
  const { values: options } = parseArgs({
    options: {
      name: { type: 'string', default: 'tunstack0' },
      'kernel-address': { type: 'string', default: '10.9.0.1/24' },
      'tun-address': { type: 'string', default: '10.9.0.2/24' },
      'lo-address': { type: 'string', multiple: true, default: ['10.0.3.1/24'] },
      mtu: { type: 'string' },
      route: { type: 'boolean', default: false },
      pcapng: { type: 'string' },
      quiet: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      for: { type: 'string' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  })
  if (options.help) return console.log(HELP)
  const duration = options.for === undefined ? undefined : parseDuration(options.for)
  const mtu = parseInteger('mtu', options.mtu)
  const [kernelAddress, tunAddress] = [options['kernel-address'], options['tun-address']]
  const loAddresses = options['lo-address']
  const print: Print = options.json
    ? (event, data) => console.log(JSON.stringify({ event, ...data }))
    : (_event, { text }) => console.log(text)

  await using stack = new Stack()
  for (const address of loAddresses) stack.loopback.addAddress(address)

  const tun = await openTun({
    name: options.name,
    address: kernelAddress,
    ...(mtu === undefined ? {} : { mtu }),
  })
  stack.addDevice(tun).addAddress(tunAddress)
  stack.routes.add(`default via ${host(kernelAddress)} dev ${tun.name}`)

  const routes = loAddresses.map(
    (lo) => `ip route replace ${network(lo)} via ${host(tunAddress)} dev ${tun.name}`,
  )
  if (options.route) for (const route of routes) run(route)
  for (const text of conflicts(loAddresses, kernelAddress)) print('warning', { text: `warning: ${text}` })

  const end = untilEnd(duration)
  const failed = new Promise<never>((_, reject) => (tun.onError = reject))
  if (options.pcapng !== undefined) save(stack, tun.name, options.pcapng)
  if (!options.quiet) show(stack, print)
  print('ready', {
    text: [
      `ready: ${tun.name}, mtu ${tun.mtu}, kernel ${kernelAddress}, stack ${tunAddress}, lo ${loAddresses.join(' ')}`,
      ...(options.route ? [] : ['on this machine, as root:', ...routes.map((route) => `  ${route}`)]),
    ].join('\n'),
    name: tun.name,
    mtu: tun.mtu,
  })

  const why = await Promise.race([end, failed])
  report(stack, why, print)
})

type Print = (event: string, data: { text: string; [key: string]: unknown }) => void

/** Prints each packet and what was decided about it. */
function show(stack: Stack, print: Print): void {
  const waiting: CaptureRecord[] = []
  const flush = (): void => {
    for (const record of waiting.splice(0)) {
      const { device, direction, bytes, timestamp, dropReason } = record
      const time = new Date(Number(timestamp / 1_000_000n)).toISOString().slice(11, 23)
      const packet = formatIpv4Packet(bytes, 0, bytes.length)
      const decision = dropReason === undefined ? decide(stack, record) : dropReason
      const text = `${time} ${device} ${(dropReason === undefined ? direction : 'drop').padEnd(4)} ${packet}\n${' '.repeat(13)}${decision}`
      print('packet', { text, time, device, direction, packet, decision })
    }
  }
  stack.capture({
    drops: true,
    // IPv6 is not there yet; that it is dropped is worth a line, but only one.
    filter: ({ bytes, dropReason }) => dropReason !== undefined || bytes[0]! >>> 4 === 4,
    listener: (record) => {
      // The answer goes out first; what there is to say about it can wait.
      if (waiting.push(record) === 1) setImmediate(flush)
    },
  })
}

/** The decision in one line: `rule 0: table local: local 10.0.3.0/24 dev lo … → delivered to this host …`. */
function decide(stack: Stack, { device, direction, bytes }: CaptureRecord): string {
  const address = (at: number): string => bytes.subarray(at, at + 4).join('.')
  const { steps } =
    direction === 'in' && device !== 'lo'
      ? stack.explain(bytes, { device })
      : stack.explain(address(16), { source: address(12) })
  const found = steps.filter(({ kind, detail }) => kind === 'table' && detail?.['matched'] === true)
  const rule = steps.findLast(({ kind, detail }) => kind === 'rule' && detail?.['matches'] === true)
  const verdict = steps.find(({ kind }) => kind === 'verdict')
  const table = found.map(({ text }) => `rule ${rule?.detail?.['priority']}, table ${text}`)
  return [...table, verdict?.text].join(' → ')
}

/** Writes a capture that Wireshark reads; the last bytes go out when the stack is closed. */
function save(stack: Stack, device: string, path: string): void {
  const file = openSync(path, 'w')
  stack.capture({
    device,
    drops: true,
    sink: (bytes) => void writeSync(file, bytes),
    onEnd: () => closeSync(file),
  })
}

/** What was counted: `nstat` and `ip -s link`, in short. */
function report(stack: Stack, why: string, print: Print): void {
  const counted = Object.entries(stack.mib.snapshot()).filter(([, count]) => count > 0)
  const interfaces = Object.fromEntries(stack.interfaces.map(({ name, stats }) => [name, stats]))
  const text = [
    `ended (${why})`,
    ...Object.entries(interfaces).map(
      ([name, { rxPackets, txPackets }]) => `  ${name}: ${rxPackets} packets received, ${txPackets} sent`,
    ),
    `  ${counted.map(([name, count]) => `${name} ${count}`).join(', ')}`,
  ]
  print('end', { text: text.join('\n'), why, counters: Object.fromEntries(counted), interfaces })
}

/** What would keep the kernel's packets from the stack, or the stack from answering them. */
function conflicts(loAddresses: readonly string[], kernelAddress: string): string[] {
  const own = Object.values(networkInterfaces()).flatMap((list) =>
    list!.filter(({ family }) => family === 'IPv4'),
  )
  return loAddresses.flatMap((lo) => {
    const range = IPv4CidrRange.fromCidr(lo)
    const inside = (address: string): boolean => range.contains(IPv4CidrRange.fromCidr(`${address}/32`))
    const text = own
      .filter(({ address }) => inside(address) && address !== host(kernelAddress))
      .map(({ address }) => address)
    return [
      ...text.map(
        (address) =>
          `this machine has ${address} in ${network(lo)}: it answers for itself, and replies to it stay in the stack`,
      ),
      ...(inside(host(kernelAddress))
        ? [`${kernelAddress} is inside ${network(lo)}: replies to it stay in the stack`]
        : []),
    ]
  })
}

/** Runs a command of the kernel's side. */
function run(command: string): void {
  const [file, ...words] = command.split(' ')
  execFileSync(file!, words, { stdio: 'inherit' })
}

function host(prefix: string): string {
  return prefix.split('/')[0]!
}

function network(prefix: string): string {
  const range = IPv4CidrRange.fromCidr(prefix)
  return `${range.getFirst()}/${range.getPrefix().value}`
}
