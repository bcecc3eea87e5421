/**
 * A router in TypeScript between two TUN devices: what the kernel sends into one comes out of the other. Put the
 * TUNs into two network namespaces, and each reaches the other through this process.
 *
 *     namespace a 10.1.0.2 ──tun-a── 10.1.0.1 stack 10.2.0.1 ──tun-b── 10.2.0.2 namespace b
 *
 *     node --import tsx examples/router.ts
 *     ip netns add a; ip link set tun-a netns a; ip -n a addr add 10.1.0.2/24 dev tun-a …
 *
 * A TUN that moves to another namespace keeps its process: packets go on to come here. `--netns-a NAME` and
 * `--netns-b NAME` do it all: namespace, address, default route.
 */
import { execFileSync } from 'node:child_process'
import { parseArgs } from 'node:util'
import { openTun } from '../lib/device/tun/index.ts'
import { Stack } from '../lib/index.ts'
import { parseDuration, parseInteger, runProgram, untilEnd } from './command-line.ts'

const HELP = `Usage: node --import tsx examples/router.ts [option…]

Opens two TUN devices and forwards between them (net.ipv4.ip_forward = 1).

  --name-a NAME, --name-b NAME    the TUNs (tun-a, tun-b)
  --address-a A/N, --address-b    the router's addresses (10.1.0.1/24, 10.2.0.1/24)
  --host-a A/N, --host-b A/N      the kernel's addresses (10.1.0.2/24, 10.2.0.2/24)
  --mtu-a BYTES, --mtu-b BYTES    the MTU of each link (1500)
  --netns-a NAME, --netns-b NAME  move the TUN to that network namespace, and set it up there
  --for TIME                      end after 5s, 500ms, 2m
  --help                          this text`

await runProgram(async () => {
  const text = (value: string) => ({ type: 'string', default: value }) as const
  const optional = { type: 'string' } as const
  const { values } = parseArgs({
    options: {
      'name-a': text('tun-a'),
      'name-b': text('tun-b'),
      'address-a': text('10.1.0.1/24'),
      'address-b': text('10.2.0.1/24'),
      'host-a': text('10.1.0.2/24'),
      'host-b': text('10.2.0.2/24'),
      'mtu-a': optional,
      'mtu-b': optional,
      'netns-a': optional,
      'netns-b': optional,
      for: optional,
      help: { type: 'boolean', short: 'h', default: false },
    },
  })
  if (values.help) return console.log(HELP)
  const duration = values.for === undefined ? undefined : parseDuration(values.for)

  await using stack = new Stack()
  stack.sysctlSet('net.ipv4.ip_forward', 1)
  const failures: Promise<never>[] = []
  for (const side of ['a', 'b'] as const) {
    const name = values[`name-${side}`]
    const router = values[`address-${side}`]
    const host = values[`host-${side}`]
    const netns = values[`netns-${side}`]
    const mtu = parseInteger(`mtu-${side}`, values[`mtu-${side}`])

    // The kernel forgets a device's addresses when it changes its namespace, so there they are set afterwards.
    const tun = await openTun({
      name,
      ...(mtu === undefined ? {} : { mtu }),
      ...(netns === undefined ? { address: host } : { up: false }),
    })
    stack.addDevice(tun).addAddress(router)
    failures.push(new Promise((_, reject) => (tun.onError = reject)))
    if (netns !== undefined) {
      ip(`link set ${name} netns ${netns}`)
      ip(`-n ${netns} addr add ${host} dev ${name}`)
      ip(`-n ${netns} link set ${name} up`)
      ip(`-n ${netns} route add default via ${router.split('/')[0]}`)
    }
    console.log(
      `${name}: router ${router}, host ${host}${netns === undefined ? '' : ` in namespace ${netns}`}, mtu ${tun.mtu}`,
    )
  }
  const end = untilEnd(duration)
  console.log('ready: forwarding')

  const why = await Promise.race([end, ...failures])
  const { mib } = stack
  console.log(
    `ended (${why}): IpForwDatagrams ${mib.get('IpForwDatagrams')}, IcmpOutTimeExcds ${mib.get('IcmpOutTimeExcds')}, ` +
      `IcmpOutDestUnreachs ${mib.get('IcmpOutDestUnreachs')}`,
  )
})

/** Runs a command of the kernel's side. */
function ip(command: string): void {
  execFileSync('ip', command.split(' '), { stdio: ['ignore', 'inherit', 'inherit'] })
}
