/**
 * The counters of one stack, under the names of Linux: what /proc/net/snmp and /proc/net/netstat show of a
 * network namespace, and `nstat -az` lists. A counter is a place in a typed array, so that counting costs one
 * addition; names are only put together when somebody reads. Beside them are the drops, by reason.
 */
import { invalidArgument } from '../errors.ts'
import { DROP_REASONS, dropReasonName } from '../wire/drop-reason.ts'
import { ECN_COUNTER, IcmpMib, IpExtMib, IpMib, UdpMib } from './ip-mib.ts'
import { TcpExtMib, TcpMib } from './tcp-mib.ts'

export { ECN_COUNTER, IcmpMib, IpExtMib, IpMib, TcpExtMib, TcpMib, UdpMib }

/** What the lines of /proc/net/snmp show beside counters. */
export interface SnmpConstants {
  /** `net.ipv4.conf.all.forwarding` is on. */
  forwarding?: boolean
  /** `net.ipv4.ip_default_ttl` */
  defaultTtl?: number
  /** Bounds of the retransmission timeout in milliseconds. */
  tcpRtoMin?: number
  tcpRtoMax?: number
}

/** All counters at one moment, by the name that `nstat` gives them. */
export type MibSnapshot = Readonly<Record<string, number>>

type Table = readonly [prefix: string, names: readonly string[], values: Float64Array]

/** ICMP types that the `Icmp` line counts one by one, with what it calls them. */
const ICMP_TYPES: readonly (readonly [name: string, type: number])[] = [
  ['DestUnreachs', 3],
  ['TimeExcds', 11],
  ['ParmProbs', 12],
  ['SrcQuenchs', 4],
  ['Redirects', 5],
  ['Echos', 8],
  ['EchoReps', 0],
  ['Timestamps', 13],
  ['TimestampReps', 14],
  ['AddrMasks', 17],
  ['AddrMaskReps', 18],
]

/** The kernel breaks the `IcmpMsg` list after so many types. */
const ICMP_MSG_PER_LINE = 16

/** Counters of a stack. Increment with `mib.ip[IpMib.InReceives]!++`; they wrap nowhere below 2⁵³. */
export class Mib {
  readonly ip: Float64Array = table(IpMib)
  readonly icmp: Float64Array = table(IcmpMib)
  /** Messages received, by ICMP type; `IcmpInEchos` and its like are read from here. */
  readonly icmpMsgIn: Float64Array = new Float64Array(256)
  /** Messages sent, by ICMP type. */
  readonly icmpMsgOut: Float64Array = new Float64Array(256)
  readonly tcp: Float64Array = table(TcpMib)
  readonly udp: Float64Array = table(UdpMib)
  readonly udpLite: Float64Array = table(UdpMib)
  readonly tcpExt: Float64Array = table(TcpExtMib)
  readonly ipExt: Float64Array = table(IpExtMib)
  /** Packets dropped, by {@link DropReason}. */
  readonly drops: Float64Array = new Float64Array(DROP_REASONS)
  readonly #tables: readonly Table[] = [
    ['Ip', Object.keys(IpMib), this.ip],
    ['Tcp', Object.keys(TcpMib), this.tcp],
    ['Udp', Object.keys(UdpMib), this.udp],
    ['UdpLite', Object.keys(UdpMib), this.udpLite],
    ['TcpExt', Object.keys(TcpExtMib), this.tcpExt],
    ['IpExt', Object.keys(IpExtMib), this.ipExt],
  ]

  /**
   * One counter by the name that `nstat` gives it: `'IcmpInEchos'`, `'IpExtInOctets'`, `'IcmpMsgInType8'`.
   * @throws TunstackError `ERR_INVALID_ARG_VALUE` if there is none of that name
   */
  get(name: string): number {
    const place = placeOf(name)
    if (place === undefined) {
      throw invalidArgument('counter', name, "a name that nstat() lists, such as 'IpInReceives'")
    }
    return this[place[0]][place[1]]!
  }

  /** Counts one packet dropped for `reason`. */
  drop(reason: number): void {
    this.drops[reason]!++
  }

  /** What was dropped, by the reason's name; reasons that never occurred are left out. */
  dropsByReason(): Record<string, number> {
    const found: [string, number][] = []
    for (let reason = 0; reason < DROP_REASONS; reason++) {
      const count = this.drops[reason]!
      if (count > 0) found.push([dropReasonName(reason), count])
    }
    return Object.fromEntries(found)
  }

  /** Names and values in the order of `nstat -az`, which leaves out what is no counter (`TcpCurrEstab`, …). */
  nstat(): [name: string, value: number][] {
    const list: [string, number][] = []
    const add = (prefix: string, names: readonly string[], values: readonly number[]): void => {
      names.forEach((name, i) => {
        if (name !== 'CurrEstab') list.push([prefix + name, values[i]!])
      })
    }
    const addTable = ([prefix, names, values]: Table): void => add(prefix, names, [...values])
    const [ip, tcp, udp, udpLite, tcpExt, ipExt] = this.#tables
    addTable(ip!)
    add('Icmp', ...this.#icmpColumns())
    for (const line of this.#icmpMsgLines()) add('IcmpMsg', ...line)
    addTable(tcp!)
    addTable(udp!)
    addTable(udpLite!)
    addTable(tcpExt!)
    addTable(ipExt!)
    return list
  }

  /** All counters now, drops as `Drop<REASON>`. */
  snapshot(): MibSnapshot {
    const drops = Object.entries(this.dropsByReason()).map(([name, n]): [string, number] => [
      `Drop${name}`,
      n,
    ])
    return Object.fromEntries([...this.nstat(), ...drops])
  }

  /** What has changed since `before`: the counters that moved, and by how much. */
  diff(before: MibSnapshot): Record<string, number> {
    const moved = Object.entries(this.snapshot())
      .map(([name, value]): [string, number] => [name, value - (before[name] ?? 0)])
      .filter(([, change]) => change !== 0)
    return Object.fromEntries(moved)
  }

  /** The text of /proc/net/snmp. */
  toSnmp(constants: SnmpConstants = {}): string {
    const { forwarding = false, defaultTtl = 64, tcpRtoMin = 200, tcpRtoMax = 120_000 } = constants
    const udpNames = Object.keys(UdpMib)
    let text = lines(
      'Ip',
      ['Forwarding', 'DefaultTTL', ...Object.keys(IpMib)],
      [forwarding ? 1 : 2, defaultTtl, ...this.ip],
    )
    text += lines('Icmp', ...this.#icmpColumns())
    for (const line of this.#icmpMsgLines()) text += lines('IcmpMsg', ...line)
    // RtoAlgorithm 1 is "other" (RFC 4022); MaxConn -1: there is no fixed limit.
    text += lines(
      'Tcp',
      ['RtoAlgorithm', 'RtoMin', 'RtoMax', 'MaxConn', ...Object.keys(TcpMib)],
      [1, tcpRtoMin, tcpRtoMax, -1, ...this.tcp],
    )
    return text + lines('Udp', udpNames, [...this.udp]) + lines('UdpLite', udpNames, [...this.udpLite])
  }

  /** The text of /proc/net/netstat, without the lines of MPTCP. */
  toNetstat(): string {
    return (
      lines('TcpExt', Object.keys(TcpExtMib), [...this.tcpExt]) +
      lines('IpExt', Object.keys(IpExtMib), [...this.ipExt])
    )
  }

  #icmpColumns(): [names: string[], values: number[]] {
    const names = ['InMsgs', 'InErrors', 'InCsumErrors']
    for (const [name] of ICMP_TYPES) names.push(`In${name}`)
    names.push('OutMsgs', 'OutErrors', 'OutRateLimitGlobal', 'OutRateLimitHost')
    for (const [name] of ICMP_TYPES) names.push(`Out${name}`)
    return [names, names.map((name) => this.get(`Icmp${name}`))]
  }

  /** Only types that occurred, received ones first, in lines as long as the kernel's. */
  #icmpMsgLines(): [names: string[], values: number[]][] {
    const columns: [string, number][] = []
    this.icmpMsgIn.forEach((n, type) => void (n > 0 && columns.push([`InType${type}`, n])))
    this.icmpMsgOut.forEach((n, type) => void (n > 0 && columns.push([`OutType${type}`, n])))
    const result: [string[], number[]][] = []
    for (let i = 0; i < columns.length; i += ICMP_MSG_PER_LINE) {
      const line = columns.slice(i, i + ICMP_MSG_PER_LINE)
      result.push([line.map(([name]) => name), line.map(([, value]) => value)])
    }
    return result
  }
}

type TableName = 'ip' | 'icmp' | 'icmpMsgIn' | 'icmpMsgOut' | 'tcp' | 'udp' | 'udpLite' | 'tcpExt' | 'ipExt'

/** Where each name is kept: the same for all stacks, and put together when the first name is asked for. */
const places = new Map<string, readonly [TableName, number]>()

function placeOf(name: string): readonly [TableName, number] | undefined {
  if (places.size === 0) {
    const add = (prefix: string, names: object, tableName: TableName): void => {
      for (const [key, index] of Object.entries(names)) places.set(prefix + key, [tableName, index])
    }
    add('Ip', IpMib, 'ip')
    add('Icmp', IcmpMib, 'icmp')
    add('Tcp', TcpMib, 'tcp')
    add('Udp', UdpMib, 'udp')
    add('UdpLite', UdpMib, 'udpLite')
    add('TcpExt', TcpExtMib, 'tcpExt')
    add('IpExt', IpExtMib, 'ipExt')
    for (const [column, type] of ICMP_TYPES) {
      places.set(`IcmpIn${column}`, ['icmpMsgIn', type])
      places.set(`IcmpOut${column}`, ['icmpMsgOut', type])
    }
    for (let type = 0; type < 256; type++) {
      places.set(`IcmpMsgInType${type}`, ['icmpMsgIn', type])
      places.set(`IcmpMsgOutType${type}`, ['icmpMsgOut', type])
    }
  }
  return places.get(name)
}

function table(names: object): Float64Array {
  return new Float64Array(Object.keys(names).length)
}

function lines(prefix: string, names: readonly string[], values: readonly number[]): string {
  return `${prefix}: ${names.join(' ')}\n${prefix}: ${values.join(' ')}\n`
}
