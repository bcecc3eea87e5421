/** How `ip link` prints a device: flags, state, and with `-s` its counters in columns. */
import { LinkFlag } from '../device/link-device.ts'
import type { LinkStatName } from '../device/link-stats.ts'
import type { NetDevice } from '../device/net-device.ts'
import { type Command, lineEnd } from './command.ts'
import { groups } from './names.ts'
import type { Printer } from './printer.ts'

/** Flags of an interface in the order in which they are printed, between the state of its carrier and `UP`. */
const FLAG_NAMES = [
  [LinkFlag.LOOPBACK, 'LOOPBACK'],
  [LinkFlag.BROADCAST, 'BROADCAST'],
  [LinkFlag.POINTOPOINT, 'POINTOPOINT'],
  [LinkFlag.MULTICAST, 'MULTICAST'],
  [LinkFlag.NOARP, 'NOARP'],
  [LinkFlag.ALLMULTI, 'ALLMULTI'],
  [LinkFlag.PROMISC, 'PROMISC'],
  [LinkFlag.DYNAMIC, 'DYNAMIC'],
  [LinkFlag.NOTRAILERS, 'NOTRAILERS'],
] as const

function flagNames(device: NetDevice): string[] {
  const names: string[] = []
  let { flags } = device
  if (device.promiscuity > 0) flags |= LinkFlag.PROMISC
  if (device.allmulti > 0) flags |= LinkFlag.ALLMULTI
  const { operState } = device
  if (device.up && operState !== 'UP' && operState !== 'UNKNOWN') names.push('NO-CARRIER')
  for (const [flag, name] of FLAG_NAMES) if ((flags & flag) !== 0) names.push(name)
  if (device.up) names.push('UP')
  if (device.running) names.push('LOWER_UP')
  return names
}

function printLinkFlags(printer: Printer, device: NetDevice, after: string): void {
  const names = flagNames(device)
  printer.text(`<${names.join(',')}>${after}`)
  printer.openArray('flags')
  for (const name of names) printer.element(name, '')
  printer.closeArray()
}

/**
 * The members of a device's object, or its lines but for the end of the last one.
 * @param parts `mode`: as `ip link` has it and `ip address` not; `link`: the line of the link layer
 */
export function printLink(
  printer: Printer,
  command: Command,
  device: NetDevice,
  parts: { mode: boolean; link: boolean },
): void {
  const { link } = device
  const { numeric, details, statistics } = command.options
  printer.field('ifindex', device.ifindex, `${device.ifindex}: `)
  printer.field('ifname', device.name, `${device.name}: `)
  printLinkFlags(printer, device, ' ')
  printer.field('mtu', device.mtu, `mtu ${device.mtu} `)
  printer.field('qdisc', device.qdisc, `qdisc ${device.qdisc} `)
  printer.field('operstate', device.operState, `state ${device.operState} `)
  if (parts.mode) printer.field('linkmode', device.linkMode, `mode ${device.linkMode} `)
  const group = groups.format(device.group, numeric)
  printer.field('group', group, `group ${group} `)
  if (device.txQueueLength !== 0) {
    const length = device.txQueueLength | 0
    printer.field('txqlen', length, `qlen ${length}`)
  }
  if (parts.link) {
    const type = numeric ? `[${HARDWARE_TYPE[link.type]}]` : link.type
    printer.text(`${lineEnd(command)}    `)
    printer.field('link_type', type, `link/${type} `)
    if (link.type === 'loopback') {
      const address = device.hardwareAddress ?? NO_ADDRESS
      printer.field('address', address, address)
      const broadcast = device.hardwareBroadcast ?? NO_ADDRESS
      printer.field('broadcast', broadcast, ` brd ${broadcast}`)
    }
  }
  if (details) printDetails(printer, command, device, parts.mode)
  if (device.alias !== '' && (parts.mode || details)) {
    printer.text(lineEnd(command))
    printer.field('ifalias', device.alias, `    alias ${device.alias}`)
  }
  if (parts.mode && statistics > 0) {
    printer.text(lineEnd(command))
    printLinkStatistics(printer, command, device)
  }
  if (device.altNames.length === 0) return
  printer.openArray('altnames')
  for (const name of device.altNames) {
    printer.text(lineEnd(command))
    printer.element(name, `    altname ${name}`)
  }
  printer.closeArray()
}

const NO_ADDRESS = '00:00:00:00:00:00'
/** `ARPHRD_*` */
const HARDWARE_TYPE = { loopback: 772, none: 65534 } as const
/** A bound that a device does not have. */
const UNBOUNDED = 0x7fffffff

/** The longest super-segment that a driver could be asked for. */
export function tsoMaxSize({ isLoopback }: NetDevice): number {
  return isLoopback ? 524_280 : 65_536
}

function printDetails(printer: Printer, command: Command, device: NetDevice, mode: boolean): void {
  const { link, promiscuity, allmulti, isLoopback } = device
  const fact = (name: string, value: number, word: string): void =>
    printer.field(name, value, `${word} ${value} `)
  fact('promiscuity', promiscuity, ' promiscuity')
  fact('allmulti', allmulti, ' allmulti')
  fact('min_mtu', link.minMtu, 'minmtu')
  fact('max_mtu', link.maxMtu === UNBOUNDED ? 0 : link.maxMtu, 'maxmtu')
  if (!isLoopback) {
    printer.text(`${lineEnd(command)}    `)
    printer.openObject('linkinfo')
    printer.field('info_kind', 'tun', 'tun ')
    printer.openObject('info_data')
    printer.field('type', 'tun', 'type tun ')
    printer.field('pi', false, 'pi off ')
    printer.field('vnet_hdr', false, 'vnet_hdr off ')
    printer.member('multi_queue', false)
    printer.field('persist', true, 'persist on ')
    printer.closeObject()
    printer.closeObject()
  }
  if (mode && device.carriesInet6)
    printer.field('inet6_addr_gen_mode', device.addrGenMode, `addrgenmode ${device.addrGenMode} `)
  fact('num_tx_queues', 1, 'numtxqueues')
  fact('num_rx_queues', 1, 'numrxqueues')
  fact('gso_max_size', device.gsoMaxSize, 'gso_max_size')
  fact('gso_max_segs', device.gsoMaxSegs, 'gso_max_segs')
  fact('tso_max_size', tsoMaxSize(device), 'tso_max_size')
  fact('tso_max_segs', 65535, 'tso_max_segs')
  fact('gro_max_size', device.groMaxSize, 'gro_max_size')
}

export function printLinkBrief(printer: Printer, device: NetDevice): void {
  printer.field('ifname', device.name, `${device.name.padEnd(16)} `)
  printer.field('operstate', device.operState, `${device.operState.padEnd(14)} `)
}

/** The line of `ip -br link`. */
export function printLinkBriefFlags(printer: Printer, device: NetDevice): void {
  printLinkBrief(printer, device)
  if (device.link.type === 'loopback') {
    const address = device.hardwareAddress ?? NO_ADDRESS
    printer.field('address', address, `${address} `)
  }
  printLinkFlags(printer, device, ' ')
  printer.text('\n')
}

/** A name of a column, and the counter below it. */
type Column = readonly [string, number]

/** What `-s` adds, without an end of the last line; `-s -s` has the errors in detail. */
export function printLinkStatistics(printer: Printer, command: Command, device: NetDevice): void {
  const count = (name: LinkStatName): number => device.link.stats.get(name)
  const detailed = command.options.statistics > 1
  printer.openObject('stats64')
  for (const [direction, plain, errors] of JSON_STATISTICS) {
    printer.openObject(direction)
    for (const [name, counter] of detailed ? [...plain, ...errors] : plain)
      printer.member(name, count(counter))
    if (detailed && direction === 'tx') printer.member('carrier_changes', device.carrierChanges)
    printer.closeObject()
  }
  printer.closeObject()
  printer.text(statisticsText(device, count, detailed, lineEnd(command)))
}

type StatisticsMember = readonly [string, LinkStatName]

const JSON_STATISTICS: readonly (readonly [
  string,
  readonly StatisticsMember[],
  readonly StatisticsMember[],
])[] = [
  [
    'rx',
    [
      ['bytes', 'rxBytes'],
      ['packets', 'rxPackets'],
      ['errors', 'rxErrors'],
      ['dropped', 'rxDropped'],
      ['over_errors', 'rxOverErrors'],
      ['multicast', 'multicast'],
    ],
    [
      ['length_errors', 'rxLengthErrors'],
      ['crc_errors', 'rxCrcErrors'],
      ['frame_errors', 'rxFrameErrors'],
      ['fifo_errors', 'rxFifoErrors'],
      ['missed_errors', 'rxMissedErrors'],
    ],
  ],
  [
    'tx',
    [
      ['bytes', 'txBytes'],
      ['packets', 'txPackets'],
      ['errors', 'txErrors'],
      ['dropped', 'txDropped'],
      ['carrier_errors', 'txCarrierErrors'],
      ['collisions', 'collisions'],
    ],
    [
      ['aborted_errors', 'txAbortedErrors'],
      ['fifo_errors', 'txFifoErrors'],
      ['window_errors', 'txWindowErrors'],
      ['heartbeat_errors', 'txHeartbeatErrors'],
    ],
  ],
]

function statisticsText(
  device: NetDevice,
  count: (name: LinkStatName) => number,
  detailed: boolean,
  end: string,
): string {
  const received: Column[] = [
    ['bytes', count('rxBytes')],
    ['packets', count('rxPackets')],
    ['errors', count('rxErrors')],
    ['dropped', count('rxDropped')],
    ['missed', count('rxMissedErrors')],
    ['mcast', count('multicast')],
  ]
  const sent: Column[] = [
    ['bytes', count('txBytes')],
    ['packets', count('txPackets')],
    ['errors', count('txErrors')],
    ['dropped', count('txDropped')],
    ['carrier', count('txCarrierErrors')],
    ['collsns', count('collisions')],
  ]
  const receiveErrors: Column[] = [
    ['', 0],
    ['length', count('rxLengthErrors')],
    ['crc', count('rxCrcErrors')],
    ['frame', count('rxFrameErrors')],
    ['fifo', count('rxFifoErrors')],
    ['overrun', count('rxOverErrors')],
  ]
  const sendErrors: Column[] = [
    ['', 0],
    ['aborted', count('txAbortedErrors')],
    ['fifo', count('txFifoErrors')],
    ['window', count('txWindowErrors')],
    ['heartbt', count('txHeartbeatErrors')],
    ['transns', device.carrierChanges],
  ]
  const rows = detailed ? [received, receiveErrors, sent, sendErrors] : [received, sent]
  // The columns of all rows are as wide as the widest number in any of them, or their widest heading.
  const widths = [10, 7, 6, 7, 7, 7]
  for (const row of rows) {
    for (const [at, [, value]] of row.entries()) widths[at] = Math.max(widths[at]!, `${value}`.length)
  }
  const lines = [plainRow('RX', received, widths, end)]
  if (detailed) lines.push(errorRow('RX', receiveErrors, widths, end))
  lines.push(plainRow('TX', sent, widths, end))
  if (detailed) lines.push(errorRow('TX', sendErrors, widths, end))
  return lines.join(end)
}

function plainRow(direction: string, row: readonly Column[], widths: readonly number[], end: string): string {
  const names = row.map(([name], at) => name.padStart(widths[at]! - (at === 0 ? 4 : 0)))
  return `    ${direction}: ${names.join(' ')}${' '.repeat(11)}${end}    ${values(row, widths)}`
}

function errorRow(direction: string, row: readonly Column[], widths: readonly number[], end: string): string {
  const names = row.map(([name], at) => (at === 0 ? ' '.repeat(widths[0]! - 10) : name.padStart(widths[at]!)))
  const rest = values(row.slice(1), widths.slice(1))
  return `    ${direction} errors:${names.join(' ')}${end}    ${' '.repeat(widths[0]!)} ${rest}`
}

function values(row: readonly Column[], widths: readonly number[]): string {
  return row.map(([, value], at) => `${`${value}`.padStart(widths[at]!)} `).join('')
}
