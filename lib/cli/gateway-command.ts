/**
 * `tunstack gateway`: a network for who has none. Whatever leaves a TUN device, which may be in another network
 * namespace, goes out by ordinary sockets of this process.
 */
import { closeSync, openSync, writeSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { openTun } from '../device/tun/index.ts'
import { invalidArgument, type TunstackError } from '../errors.ts'
import { type Gateway, gateway } from '../node/gateway/gateway.ts'
import type { GatewayForward, GatewayOptions } from '../node/gateway/options.ts'
import { settingsOf } from '../node/gateway/options.ts'
import { decideBy, parseRule } from './gateway-rules.ts'
import { write } from './streams.ts'

export const GATEWAY_USAGE = `Usage: tunstack gateway [OPTIONS]

Lets guests behind a TUN device reach the host's network by sockets of this process; needs no root for a namespace
that this user has made (unshare -rn). Prints 'ready', and ends at SIGINT or SIGTERM, or when the device is gone.

  --netns NAMESPACE     where the guests are: the id of a process, a path, or a name of 'ip netns'; gets the device, the
                        guest's address and a default route (otherwise the device is in this namespace, with the address)
  --tun NAME            the device (tun0)
  --tun-path PATH       the device node (/dev/net/tun)
  --address ADDRESS     the gateway's own address in the guest's network (10.0.2.2/24)
  --guest ADDRESS       the guest's (10.0.2.100)
  --mtu BYTES           the device's (65520)
  --forward [tcp:|udp:][HOST:]PORT:[GUEST:]PORT
                        a port of the host (127.0.0.1 unless said) that leads to the guest; may be repeated
  --allow RULE, --deny RULE, --drop RULE
                        who may be reached, by the first that fits: an address, a prefix, a name that the guest has
                        asked for, *.name, or *, and perhaps :PORT or :FIRST-LAST; may be repeated; others may be
  --host-loopback       the gateway's own address is the host's loopback
  --dns SERVER          a resolver instead of those of /etc/resolv.conf; may be repeated
  --name NAME=ADDRESS   an answer of the gateway's own; may be repeated
  --no-dns, --no-ping   neither of them
  --pcap FILE           what passes between guest and gateway, as pcapng
  --help                this text
`

const RULES = ['allow', 'deny', 'drop'] as const
/** Milliseconds between looks at whether the device is still there. */
const WATCH = 500

export async function gatewayCommand(args: readonly string[]): Promise<number> {
  let values: Values
  let options: GatewayOptions
  try {
    const parsed = parse(args)
    values = parsed.values
    if (values.help) {
      write(1, GATEWAY_USAGE)
      return 0
    }
    options = optionsOf(parsed)
  } catch (error) {
    write(2, `tunstack gateway: ${(error as Error).message}\n${GATEWAY_USAGE}`)
    return 2
  }
  try {
    await run(values, options)
    return 0
  } catch (error) {
    const { code, message } = error as TunstackError
    if (code === undefined) throw error
    write(2, `tunstack gateway: ${message}\n`)
    return 1
  }
}

type Parsed = ReturnType<typeof parse>
type Values = Parsed['values']

function parse(args: readonly string[]) {
  const list = { type: 'string', multiple: true, default: [] as string[] } as const
  return parseArgs({
    args: [...args],
    tokens: true,
    options: {
      netns: { type: 'string' },
      tun: { type: 'string', default: 'tun0' },
      'tun-path': { type: 'string', default: '/dev/net/tun' },
      address: { type: 'string', default: '10.0.2.2/24' },
      guest: { type: 'string' },
      mtu: { type: 'string', default: '65520' },
      forward: list,
      allow: list,
      deny: list,
      drop: list,
      'host-loopback': { type: 'boolean', default: false },
      dns: list,
      name: list,
      'no-dns': { type: 'boolean', default: false },
      'no-ping': { type: 'boolean', default: false },
      pcap: { type: 'string' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  })
}

/** @throws TunstackError `ERR_INVALID_ARG_VALUE` */
function optionsOf({ values, tokens }: Parsed): GatewayOptions {
  // In the order in which they were given, whichever they are.
  const rules = tokens.flatMap((token) => {
    if (token.kind !== 'option' || token.value === undefined) return []
    const action = RULES.find((name) => name === token.name)
    return action === undefined ? [] : [parseRule(action, token.value)]
  })
  const names: Record<string, string[]> = {}
  for (const [name, address] of values.name.map(nameOf)) (names[name] ??= []).push(address)
  const options: GatewayOptions = {
    address: values.address,
    ...(values.guest === undefined ? {} : { guest: values.guest }),
    hostLoopback: values['host-loopback'],
    dns: values['no-dns'] ? false : { servers: values.dns, names },
    ping: !values['no-ping'],
    forwards: values.forward.map(forwardOf),
    onError: (error) => write(2, `tunstack gateway: ${(error as Error).message}\n`),
    ...(rules.length === 0 ? {} : { onConnect: decideBy(rules) }),
  }
  settingsOf(options)
  return options
}

function nameOf(text: string): [string, string] {
  const [, name, address] = /^([^=]+)=([\d.]+)$/.exec(text) ?? []
  if (name === undefined || address === undefined) throw invalidArgument('--name', text, 'NAME=ADDRESS')
  return [name, address]
}

function forwardOf(text: string): GatewayForward {
  const parts = /^(?:(tcp|udp):)?(?:([\d.]+):)?(\d+):(?:([\d.]+):)?(\d+)$/.exec(text)
  if (parts === null) throw invalidArgument('--forward', text, '[tcp:|udp:][HOST:]PORT:[GUEST:]PORT')
  const [, protocol = 'tcp', host = '127.0.0.1', port, guestAddress, guestPort] = parts
  return {
    protocol: protocol as 'tcp' | 'udp',
    host,
    port: Number(port),
    ...(guestAddress === undefined ? {} : { guestAddress }),
    guestPort: Number(guestPort),
  }
}

async function run(values: Values, options: GatewayOptions): Promise<void> {
  const { prefix, guest } = settingsOf(options)
  const own = values.address.split('/')[0]!
  const tun = await openTun({
    name: values.tun,
    devicePath: values['tun-path'],
    mtu: Number(values.mtu),
    address: `${guest}/${prefix.length}`,
    ...(values.netns === undefined
      ? {}
      : { namespace: /^\d+$/.test(values.netns) ? Number(values.netns) : values.netns, defaultRoute: own }),
  })
  let made: Gateway
  try {
    made = await gateway(tun, options)
  } catch (error) {
    tun.close()
    throw error
  }
  const { pcap } = values
  const file = pcap === undefined ? -1 : openSync(pcap, 'w')
  const capture = file < 0 ? null : made.capture({ sink: (bytes) => void writeSync(file, bytes) })
  for (const { protocol, host, port, guestAddress, guestPort } of made.forwards) {
    write(1, `${protocol} ${host}:${port} leads to ${guestAddress}:${guestPort}\n`)
  }
  write(1, 'ready\n')
  await over(() => tun.gone)
  capture?.close()
  await made.close()
  if (file >= 0) closeSync(file)
}

/** SIGINT, SIGTERM, or what is looked at now and then. */
function over(gone: () => boolean): Promise<void> {
  return new Promise((resolve) => {
    const watch = setInterval(() => {
      if (gone()) done()
    }, WATCH)
    const done = (): void => {
      clearInterval(watch)
      resolve()
    }
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, done)
  })
}
