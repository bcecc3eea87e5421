/** How `ip link` prints a device: flags, state, and with `-s` its counters in columns. */
import { LinkFlag } from '../device/link-device.ts'
import type { LinkStatName } from '../device/link-stats.ts'
import type { NetDevice } from '../device/net-device.ts'
import { type Command, lineEnd } from './command.ts'
import { groups } from './names.ts'

/** Flags of an interface in the order in which they are printed; the bits above 16 are the kernel's news. */
const FLAG_NAMES = [
  [LinkFlag.LOOPBACK, 'LOOPBACK'],
  [LinkFlag.BROADCAST, 'BROADCAST'],
  [LinkFlag.POINTOPOINT, 'POINTOPOINT'],
  [LinkFlag.MULTICAST, 'MULTICAST'],
  [LinkFlag.NOARP, 'NOARP'],
] as const

function flagsText(device: NetDevice): string {
  const names: string[] = []
  if (device.up && !device.running) names.push('NO-CARRIER')
  for (const [flag, name] of FLAG_NAMES) if ((device.link.flags & flag) !== 0) names.push(name)
  if (device.promiscuity > 0) names.push('PROMISC')
  if (device.up) names.push('UP')
  if (device.running) names.push('LOWER_UP')
  return `<${names.join(',')}>`
}

/** @param parts `mode`: as `ip link` has it and `ip address` not; `link`: the line of the link layer */
export function formatLink(
  command: Command,
  device: NetDevice,
  parts: { mode: boolean; link: boolean },
): string {
  const { link } = device
  let text = `${device.ifindex}: ${device.name}: ${flagsText(device)} mtu ${device.mtu} qdisc ${device.qdisc} `
  text += `state ${device.operState} ${parts.mode ? 'mode DEFAULT ' : ''}`
  text += `group ${groups.format(device.group, command.options.numeric)} `
  if (link.txQueueLength !== 0) text += `qlen ${link.txQueueLength}`
  if (parts.link) {
    text += `${lineEnd(command)}    link/${link.type} `
    if (link.type === 'loopback') text += `${NO_ADDRESS} brd ${NO_ADDRESS}`
  }
  if (command.options.details) text += formatDetails(command, device)
  if (parts.mode && command.options.statistics > 0) {
    text += `${lineEnd(command)}${formatLinkStatistics(command, device)}`
  }
  return `${text}\n`
}

const NO_ADDRESS = '00:00:00:00:00:00'
/** A bound that a device does not have. */
const UNBOUNDED = 0x7fffffff

function formatDetails(command: Command, { link, promiscuity, isLoopback }: NetDevice): string {
  const max = link.maxMtu === UNBOUNDED ? 0 : link.maxMtu
  let text = ` promiscuity ${promiscuity}  allmulti 0 minmtu ${link.minMtu} maxmtu ${max} `
  if (!isLoopback) text += `${lineEnd(command)}    tun type tun pi off vnet_hdr off persist on `
  const size = link.features.gsoMaxSize === 65535 ? 65536 : link.features.gsoMaxSize
  return `${text}numtxqueues 1 numrxqueues 1 gso_max_size ${size} gso_max_segs 65535 `
}

export function formatLinkBrief(device: NetDevice): string {
  return `${device.name.padEnd(16)} ${device.operState.padEnd(14)} `
}

/** The line of `ip -br link`. */
export function formatLinkBriefFlags(device: NetDevice): string {
  const address = device.link.type === 'loopback' ? `${NO_ADDRESS} ` : ''
  return `${formatLinkBrief(device)}${address}${flagsText(device)} \n`
}

/** A name of a column, and the counter below it. */
type Column = readonly [string, number]

/** What `-s` adds, without an end of the last line; `-s -s` has the errors in detail. */
export function formatLinkStatistics(command: Command, device: NetDevice): string {
  const count = (name: LinkStatName): number => device.link.stats.get(name)
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
  const detailed = command.options.statistics > 1
  const rows = detailed ? [received, receiveErrors, sent, sendErrors] : [received, sent]
  // The columns of all rows are as wide as the widest number in any of them, or their widest heading.
  const widths = [10, 7, 6, 7, 7, 7]
  for (const row of rows) {
    for (const [at, [, value]] of row.entries()) widths[at] = Math.max(widths[at]!, `${value}`.length)
  }
  const end = lineEnd(command)
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
