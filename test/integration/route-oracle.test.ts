/**
 * The kernel as oracle: one random sequence of address, route, link and rule commands is run in a network
 * namespace and on our tables, and after each group the tables, the addresses and the answers are compared,
 * errors word for word. Needs root. ROUTE_ORACLE_SEED and ROUTE_ORACLE_OPS repeat or lengthen a run.
 */

import { execFileSync, spawnSync } from 'node:child_process'
import { expect } from 'chai'
import { formatIpv4, isLoopback, parseIpv4, parseIpv4Prefix } from '../../lib/address/ipv4-address.ts'
import { Errno } from '../../lib/errors.ts'
import { Random } from '../../lib/random/random.ts'
import { seededRandom } from '../../lib/random/seeded.ts'
import type { RuleConfig } from '../../lib/route/fib-rules.ts'
import {
  FibResult,
  type NexthopConfig,
  type RouteAddMode,
  type RouteConfig,
} from '../../lib/route/fib-types.ts'
import { Flow4 } from '../../lib/route/flow.ts'
import type { AddressConfig } from '../../lib/route/inet-address.ts'
import {
  Metric,
  NetlinkError,
  RouteProtocol,
  RouteType,
  RuleAction,
  Scope,
} from '../../lib/route/rtnetlink.ts'
import { routeText } from '../route/route-text.ts'
import { TestHost } from '../route/test-host.ts'

const SEED = Number(process.env['ROUTE_ORACLE_SEED'] ?? 20251122)
const OPERATIONS = Number(process.env['ROUTE_ORACLE_OPS'] ?? 300)
const GROUP = 10
const DEVICES = ['lo', 'tun0', 'tun1']

const STRERROR: Record<string, string> = {
  EEXIST: 'File exists',
  ENOENT: 'No such file or directory',
  ESRCH: 'No such process',
  ENODEV: 'No such device',
  EINVAL: 'Invalid argument',
  ENETDOWN: 'Network is down',
  ENETUNREACH: 'Network is unreachable',
  EHOSTUNREACH: 'No route to host',
  EACCES: 'Permission denied',
}

interface Operation {
  command: string
  apply: (host: TestHost) => void
}

type KernelRoute = Record<string, unknown> & {
  dst: string
  type?: string
  gateway?: string
  dev?: string
  nexthops?: (Record<string, unknown> & { flags: string[] })[]
  metrics?: Record<string, number>[]
  flags?: string[]
}

/** A route of `ip -j` in the words of {@link routeText}. */
function kernelText(route: KernelRoute): string {
  const dst = route.dst === 'default' ? '0.0.0.0/0' : route.dst.includes('/') ? route.dst : `${route.dst}/32`
  const names = (flags: readonly string[]): string =>
    ['dead', 'onlink', 'linkdown'].filter((flag) => flags.includes(flag)).join(',')
  const hops = route.nexthops?.map(
    (hop) => `${hop['gateway'] ?? '-'}@${hop['dev']}*${hop['weight']}[${names(hop.flags)}]`,
  ) ?? [`${route.gateway ?? '-'}@${route.dev ?? '-'}`]
  const table = { local: 255, main: 254, default: 253 }[String(route['table'])] ?? route['table'] ?? 254
  const scope = String(route['scope'] ?? 'global')
  const metrics = route.metrics?.[0] ?? {}
  return [
    route.type ?? 'unicast',
    dst,
    `table=${table}`,
    `tos=${Number(route['tos'] ?? 0)}`,
    hops.join('+'),
    `proto=${route['protocol'] ?? 'boot'}`,
    `scope=${scope === 'global' ? 'universe' : scope}`,
    `src=${route['prefsrc'] ?? '-'}`,
    `metric=${route['metric'] ?? 0}`,
    `flags=${names(route.flags ?? [])}`,
    ...['mtu', 'advmss'].filter((name) => name in metrics).map((name) => `${name}=${metrics[name]}`),
  ].join(' ')
}

/** Draws commands that often mean something to one another. */
class Generator {
  readonly #random: Random

  constructor(seed: number) {
    this.#random = new Random(seededRandom(seed))
  }

  below(bound: number): number {
    return this.#random.below(bound)
  }

  pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)]!
  }

  chance(percent: number): boolean {
    return this.below(100) < percent
  }

  destination(): string {
    return this.pick([
      () => `10.${this.below(4)}.${this.below(3)}.${this.below(6)}`,
      () =>
        this.pick([
          '10.0.0.255',
          '10.1.255.255',
          '127.0.0.1',
          '127.1.2.3',
          '127.255.255.255',
          '8.8.8.8',
          '172.16.0.1',
        ]),
    ])()
  }

  operation(): Operation {
    const kind = this.below(100)
    if (kind < 22) return this.#addressAdd()
    if (kind < 32) return this.#addressDelete()
    if (kind < 68) return this.#routeAdd()
    if (kind < 80) return this.#routeDelete()
    if (kind < 91) return this.#link()
    return this.#rule()
  }

  #addressOf(): string {
    return `10.${this.below(3)}.${this.below(2)}.${1 + this.below(4)}`
  }

  #addressAdd(): Operation {
    const device = this.pick(DEVICES)
    const address = this.chance(5) ? `127.0.0.${1 + this.below(3)}` : this.#addressOf()
    const length = this.pick([24, 24, 24, 16, 30, 31, 32, 8])
    const config: AddressConfig = { local: parseIpv4(address), prefixLength: length }
    let command = `address add ${address}/${length}`
    if (this.chance(12)) {
      const peer = this.#addressOf()
      command = `address add ${address} peer ${peer}/${length}`
      config.peer = parseIpv4(peer)
    }
    if (this.chance(25)) {
      const broadcast = this.pick(['10.0.0.255', '10.0.0.0', '10.1.255.255', '10.9.9.9', '255.255.255.255'])
      command += ` brd ${broadcast}`
      config.broadcast = parseIpv4(broadcast)
    }
    if (this.chance(15)) {
      const [word, scope] = this.pick([
        ['host', Scope.HOST],
        ['link', Scope.LINK],
        ['site', Scope.SITE],
      ] as const)
      command += ` scope ${word}`
      config.scope = scope
    }
    if (this.chance(10)) {
      command += ' noprefixroute'
      config.noprefixroute = true
    }
    if (this.chance(15)) {
      config.metric = this.pick([5, 10])
      command += ` metric ${config.metric}`
    }
    const mode = this.chance(12) ? ('change' as const) : ('add' as const)
    command = command.replace('address add', `address ${mode}`)
    return {
      command: `${command} dev ${device}`,
      apply: (host) => void host.addresses.add(host.device(device), config, 0, mode),
    }
  }

  #addressDelete(): Operation {
    const choose = this.below(1000)
    const fallback = this.#addressOf()
    const device = this.pick(DEVICES)
    return {
      // The command is only known once the state is: see `fill`.
      command: `DELETE ${choose} ${fallback} ${device}`,
      apply: () => {},
    }
  }

  /** A deletion of an address that is there, mostly. */
  fill(operation: Operation, host: TestHost): Operation {
    const [word, choose, fallback, name] = operation.command.split(' ')
    if (word !== 'DELETE') return operation
    const all = [...host.addresses]
    const chosen = Number(choose) < 900 ? all[Number(choose) % Math.max(1, all.length)] : undefined
    const device = chosen?.device.name ?? name!
    const local = chosen?.local ?? parseIpv4(fallback!)
    const prefixLength = chosen?.prefixLength ?? 24
    const peer = chosen !== undefined && chosen.address !== chosen.local ? chosen.address : undefined
    const text =
      peer === undefined
        ? `${formatIpv4(local)}/${prefixLength}`
        : `${formatIpv4(local)} peer ${formatIpv4(peer)}/${prefixLength}`
    return {
      command: `address del ${text} dev ${device}`,
      apply: (target) =>
        void target.addresses.delete(target.device(device), {
          local,
          prefixLength,
          ...(peer === undefined ? {} : { peer }),
        }),
    }
  }

  #prefix(): string {
    return this.pick([
      () => `10.${this.below(4)}.0.0/16`,
      () => `10.${this.below(3)}.${this.below(2)}.0/24`,
      () => `10.${this.below(3)}.${this.below(2)}.${this.below(4)}/32`,
      () =>
        this.pick([
          '10.0.0.0/8',
          '10.0.0.0/9',
          '0.0.0.0/0',
          '0.0.0.0/1',
          '127.0.0.5/32',
          '8.8.0.0/16',
          '172.16.0.0/12',
        ]),
      () => '0.0.0.0/0',
    ])()
  }

  #routeDelete(): Operation {
    const prefix = this.#prefix()
    const { address, length } = parseIpv4Prefix(prefix)
    const config: RouteConfig = { prefix: address, prefixLength: length }
    let command = prefix
    if (this.chance(20)) command = this.#type(config, command)
    if (this.chance(30)) command = this.#options(config, command)
    const device = this.chance(30) ? this.pick(DEVICES) : null
    if (device !== null) command += ` dev ${device}`
    return {
      command: `route del ${command}`,
      apply: (host) =>
        host.fib.deleteRoute(device === null ? config : { ...config, device: host.device(device) }),
    }
  }

  #type(config: RouteConfig, command: string): string {
    const type = this.pick([
      'BLACKHOLE',
      'UNREACHABLE',
      'PROHIBIT',
      'THROW',
      'LOCAL',
      'BROADCAST',
      'MULTICAST',
      'UNICAST',
    ] as const)
    config.type = RouteType[type]
    return `${type.toLowerCase()} ${command}`
  }

  #options(config: RouteConfig, command: string): string {
    if (this.chance(20)) {
      config.tos = 0x10
      command += ' tos 0x10'
    }
    if (this.chance(30)) {
      config.priority = this.pick([5, 10, 20])
      command += ` metric ${config.priority}`
    }
    if (this.chance(25)) {
      config.table = this.pick([100, 300, 255, 253])
      command += ` table ${config.table}`
    }
    if (this.chance(20)) {
      const [word, protocol] = this.pick([
        ['static', RouteProtocol.STATIC],
        ['kernel', RouteProtocol.KERNEL],
      ] as const)
      config.protocol = protocol
      command += ` proto ${word}`
    }
    return command
  }

  #routeAdd(): Operation {
    const mode = this.pick<RouteAddMode>([
      'add',
      'add',
      'add',
      'add',
      'append',
      'prepend',
      'replace',
      'change',
    ])
    const prefix = this.chance(3) ? '10.0.0.1/24' : this.#prefix()
    const { address, length } = parseIpv4Prefix(prefix)
    const config: RouteConfig = { prefix: address, prefixLength: length }
    let command = prefix
    if (this.chance(22)) command = this.#type(config, command)
    command = this.#options(config, command)
    if (this.chance(20)) {
      const source = this.#addressOf()
      config.prefsrc = parseIpv4(source)
      command += ` src ${source}`
    }
    if (this.chance(12)) {
      const [word, scope] = this.pick([
        ['host', Scope.HOST],
        ['link', Scope.LINK],
        ['global', Scope.UNIVERSE],
        ['site', Scope.SITE],
      ] as const)
      config.scope = scope
      command += ` scope ${word}`
    }
    if (this.chance(15)) {
      const mtu = this.pick([1400, 70000])
      config.metrics = new Map([[Metric.MTU, mtu]])
      command += ` mtu ${mtu}`
    }
    const plain = config.type === undefined || config.type < RouteType.BLACKHOLE || this.chance(10)
    let device: string | null = null
    const hops: { device: string | null; gateway: string | null; weight: number }[] = []
    if (plain && this.chance(15)) {
      for (let n = 1 + this.below(3); n > 0; n--) {
        const hop = {
          device: this.chance(80) ? this.pick(['tun0', 'tun1']) : null,
          gateway: this.chance(70) ? this.#addressOf() : null,
          weight: 1 + this.below(3),
        }
        hops.push(hop)
        command += ' nexthop'
        if (hop.gateway !== null) command += ` via ${hop.gateway}`
        if (hop.device !== null) command += ` dev ${hop.device}`
        command += ` weight ${hop.weight}`
      }
    } else if (plain) {
      if (this.chance(50)) {
        const gateway = this.chance(90) ? this.#addressOf() : '127.0.0.1'
        config.gateway = parseIpv4(gateway)
        command += ` via ${gateway}`
      }
      if (this.chance(75)) {
        device = this.pick(DEVICES)
        command += ` dev ${device}`
      }
      if (this.chance(10)) {
        config.onlink = true
        command += ' onlink'
      }
    }
    return {
      command: `route ${mode} ${command}`,
      apply: (host) => {
        if (device !== null) config.device = host.device(device)
        if (hops.length > 0) {
          config.nexthops = hops.map(
            (hop): NexthopConfig => ({
              weight: hop.weight,
              ...(hop.device === null ? {} : { device: host.device(hop.device) }),
              ...(hop.gateway === null ? {} : { gateway: parseIpv4(hop.gateway) }),
            }),
          )
        }
        host.fib.addRoute(config, mode)
      },
    }
  }

  #link(): Operation {
    const device = this.pick(DEVICES)
    const up = this.chance(70)
    return {
      command: `link set ${device} ${up ? 'up' : 'down'}`,
      apply: (host) => void (up ? host.up(device) : host.down(device)),
    }
  }

  #rule(): Operation {
    const config: RuleConfig = {}
    let command = ''
    if (this.chance(50)) {
      const { address, length } = parseIpv4Prefix(this.#prefix())
      config.to = { address, length }
      command += ` to ${formatIpv4(address)}/${length}`
    }
    if (this.chance(20)) {
      config.iif = this.pick(['lo', 'tun0', 'nope'])
      command += ` iif ${config.iif}`
    }
    if (this.chance(15)) {
      config.oif = this.pick(['lo', 'tun0'])
      command += ` oif ${config.oif}`
    }
    if (this.chance(15)) {
      config.mark = this.pick([0, 5])
      config.markMask = 0xff
      command += ` fwmark ${config.mark}/0xff`
    }
    if (this.chance(15)) {
      config.invert = true
      command = ` not${command}`
    }
    if (this.chance(60)) {
      config.priority = this.pick([50, 100, 100, 200, 32766, 40000])
      command += ` priority ${config.priority}`
    }
    const remove = this.chance(35)
    const action = this.below(10)
    if (action < 6) {
      config.table = this.pick([100, 300, 254])
      command += ` table ${config.table}`
      if (this.chance(20)) {
        config.suppressPrefixLength = this.pick([0, 16])
        command += ` suppress_prefixlength ${config.suppressPrefixLength}`
      }
    } else if (action < 8) {
      const [word, number] = this.pick([
        ['unreachable', RuleAction.UNREACHABLE],
        ['prohibit', RuleAction.PROHIBIT],
        ['blackhole', RuleAction.BLACKHOLE],
      ] as const)
      config.action = number
      command += ` type ${word}`
    } else {
      config.action = RuleAction.GOTO
      config.target = this.pick([100, 200, 32766])
      command += ` goto ${config.target}`
    }
    if (!remove) return { command: `rule add${command}`, apply: (host) => void host.fib.addRule(config) }
    return { command: `rule del${command}`, apply: (host) => void host.fib.deleteRule(config) }
  }
}

/** What iproute2 says of an error of ours. */
function errorText(error: unknown): string {
  if (!(error instanceof NetlinkError)) throw error
  if (error.extack !== undefined) return `Error: ${error.extack}.`
  return `RTNETLINK answers: ${STRERROR[error.code] ?? error.code}`
}

describe('routing against the kernel', function () {
  this.timeout(120_000)
  const namespace = `ts-oracle-${process.pid}`
  const ip = (args: string[], input = ''): { stdout: string; stderr: string } => {
    const run = spawnSync('ip', ['-n', namespace, ...args], { input, encoding: 'utf8' })
    return { stdout: run.stdout, stderr: run.stderr }
  }

  beforeEach(() => {
    execFileSync('ip', ['netns', 'add', namespace])
    for (const name of ['tun0', 'tun1']) ip(['tuntap', 'add', 'dev', name, 'mode', 'tun'])
  })
  afterEach(() => void execFileSync('ip', ['netns', 'del', namespace]))

  /** Runs commands on the kernel; for each what it said on stderr, without the line that it failed. */
  function kernel(commands: readonly string[]): string[] {
    const said = commands.map(() => '')
    let message: string[] = []
    for (const line of ip(['-force', '-batch', '-'], `${commands.join('\n')}\n`).stderr.split('\n')) {
      const failed = /^Command failed -:(\d+)$/.exec(line)
      if (failed === null) {
        if (line !== '') message.push(line)
        continue
      }
      said[Number(failed[1]) - 1] = message.join('\n')
      message = []
    }
    if (message.length > 0) throw new Error(`the batch ended early: ${message.join(' / ')}`)
    return said
  }

  function compareState(host: TestHost, context: string): void {
    const routes = JSON.parse(
      ip(['-j', '-4', 'route', 'show', 'table', 'all']).stdout || '[]',
    ) as KernelRoute[]
    expect(
      [...host.fib.dumpAll()].map((alias) => routeText(alias)),
      `routes ${context}`,
    ).to.deep.equal(routes.map(kernelText))
    const links = JSON.parse(ip(['-j', '-4', 'address', 'show']).stdout || '[]') as {
      ifname: string
      addr_info: Record<string, unknown>[]
    }[]
    const theirs = links.flatMap((link) =>
      (link.addr_info ?? []).map(
        (info) =>
          `${link.ifname} ${info['local']} ${info['address'] ?? info['local']}/${info['prefixlen']} ` +
          `${info['broadcast'] ?? '-'} ${info['scope']} ${info['secondary'] === true} ${info['metric'] ?? 0}`,
      ),
    )
    const scopes: Record<number, string> = { 0: 'global', 200: 'site', 253: 'link', 254: 'host' }
    const ours = [...host.addresses].map(
      (address) =>
        `${address.device.name} ${formatIpv4(address.local)} ${formatIpv4(address.address)}/${address.prefixLength} ` +
        `${address.broadcast === 0 ? '-' : formatIpv4(address.broadcast)} ${scopes[address.scope]} ` +
        `${address.secondary} ${address.metric}`,
    )
    expect(ours, `addresses ${context}`).to.deep.equal(theirs)
    const rules = JSON.parse(ip(['-j', 'rule']).stdout || '[]') as { priority: number; table?: string }[]
    expect(
      [...host.fib.rules].map((rule) => rule.priority),
      `rules ${context}`,
    ).to.deep.equal(rules.map((rule) => rule.priority))
  }

  function compareLookups(host: TestHost, generator: Generator, context: string): void {
    const flow = new Flow4()
    const result = new FibResult()
    for (let i = 0; i < 12; i++) {
      const destination = generator.destination()
      const mark = generator.chance(20) ? 5 : 0
      const tos = generator.chance(20) ? 0x10 : 0
      const question = ['route', 'get', 'fibmatch', destination]
      if (mark !== 0) question.push('mark', '5')
      if (tos !== 0) question.push('tos', '0x10')
      const { stdout, stderr } = ip(['-j', ...question])
      const theirs = stderr === '' ? kernelText((JSON.parse(stdout) as KernelRoute[])[0]!) : stderr.trim()
      flow.reset()
      flow.daddr = parseIpv4(destination)
      flow.iif = 1
      flow.mark = mark
      flow.tos = tos
      result.reset()
      let error = host.fib.lookup(flow, result)
      const source = error === 0 ? host.fib.sourceOf(result) : 0
      // Not the tables' affair: an output route with a loopback source leaves by loopback alone.
      const single = error === 0 && result.type !== RouteType.LOCAL && result.info!.nexthops.length === 1
      if (single && isLoopback(source) && !result.nexthop!.device!.isLoopback) error = -Errno.EINVAL
      // The kernel names the table that was asked: main, while local shares its trie.
      const ours =
        error === 0 ? routeText(result.alias!, result.tableId) : errorText(new NetlinkError(-error))
      expect(ours, `${question.join(' ')} ${context}`).to.equal(theirs)
      if (error !== 0 || !single || result.type !== RouteType.UNICAST) continue
      const plain = JSON.parse(ip(['-j', ...question.filter((word) => word !== 'fibmatch')]).stdout)
      expect(
        source === 0 ? undefined : formatIpv4(source),
        `source of ${question.join(' ')} ${context}`,
      ).to.equal((plain as { prefsrc?: string }[])[0]!.prefsrc)
    }
  }

  for (const promote of [0, 1]) {
    it(`agrees on ${OPERATIONS} random commands, promote_secondaries = ${promote}`, () => {
      const generator = new Generator(SEED + promote)
      const host = new TestHost(['tun0', 'tun1'], false)
      execFileSync('ip', [
        'netns',
        'exec',
        namespace,
        'sysctl',
        '-qw',
        `net.ipv4.conf.all.promote_secondaries=${promote}`,
      ])
      host.sysctl.set('net.ipv4.conf.all.promote_secondaries', promote)
      const history: string[] = []
      kernel(['link set lo up', 'link set tun0 up'])
      host.up('lo', 'tun0')
      for (let done = 0; done < OPERATIONS; done += GROUP) {
        // A sequence without rules first: there local and main share one trie.
        const commands: string[] = []
        const ours: string[] = []
        while (commands.length < GROUP) {
          let operation = generator.operation()
          if (operation.command.startsWith('rule') && done < OPERATIONS / 2) continue
          operation = generator.fill(operation, host)
          commands.push(operation.command)
          try {
            operation.apply(host)
            ours.push('')
          } catch (error) {
            ours.push(errorText(error))
          }
        }
        const theirs = kernel(commands)
        history.push(
          ...commands.map((command, i) => `${command}${theirs[i] === '' ? '' : `   # ${theirs[i]}`}`),
        )
        const context = `(seed ${SEED})\n${history.slice(-3 * GROUP).join('\n')}\n`
        const pair = (said: string[]): string[] => said.map((text, i) => `${commands[i]}: ${text}`)
        expect(pair(ours), context).to.deep.equal(pair(theirs))
        compareState(host, context)
        compareLookups(host, generator, context)
      }
    })
  }
})
