/**
 * The knobs of `/proc/sys/net`, under their Linux names, with Linux's defaults, ranges and side effects. The
 * packet path reads plain numeric fields (`sysctl.ipv4.ip_default_ttl`, `sysctl.conf(ifindex).rpFilter`);
 * people and programs read and write text by name (`sysctl.set('net.ipv4.ip_forward', 1)`), as `sysctl -w`.
 */
import { TunstackError } from '../errors.ts'
import { DEVICE_CONF_NAMES, DeviceConf, type DeviceConfName } from './device-conf.ts'
import type { SettingRange } from './setting-range.ts'
import {
  CORE_RANGES,
  CoreSettings,
  IPV4_RANGES,
  Ipv4Settings,
  ROUTE_RANGES,
  RouteSettings,
} from './settings.ts'
import { CONGESTION_CONTROLS } from './tcp-settings.ts'

/** Hears of every write that changed something; `ifindex` is that of the device whose `conf` it was, else 0. */
export type SysctlListener = (name: string, ifindex: number) => void

interface Knob {
  read(): string
  /** Takes the text. @throws Refusal */
  write(text: string): void
}

/** Why a value was not taken: what it must be. */
class Refusal extends Error {}

type BufferField =
  | `tcp_${'r' | 'w'}mem_${'min' | 'default' | 'max'}`
  | `tcp_mem_${'low' | 'pressure' | 'high'}`

/** Bytes. */
const BUFFER_RANGE: SettingRange = { min: 1, max: 2147483647 }
const INT_RANGE: SettingRange = { min: -2147483648, max: 2147483647 }

/** What new devices alone take from `default`, whatever is written there later. */
const STAYING: ReadonlySet<DeviceConfName> = new Set(['promote_secondaries', 'route_localnet'])

export class Sysctl {
  readonly ipv4: Ipv4Settings = new Ipv4Settings()
  readonly route: RouteSettings = new RouteSettings()
  readonly core: CoreSettings = new CoreSettings()
  /** `net.ipv4.conf.all` */
  readonly all: DeviceConf
  /** `net.ipv4.conf.default`: what a new device starts with. */
  readonly default: DeviceConf
  readonly #devices: (DeviceConf | undefined)[] = []
  readonly #indexOf = new Map<string, number>()
  /** Made when somebody first asks for one by name: most stacks of a simulated network never do. */
  #table: Map<string, Knob> | null = null
  readonly #listeners: SysctlListener[] = []

  constructor() {
    this.all = new DeviceConf(null)
    this.all.accept_source_route = 0
    this.default = new DeviceConf(this.all)
  }

  get #knobs(): Map<string, Knob> {
    if (this.#table !== null) return this.#table
    const table = new Map<string, Knob>()
    this.#table = table // what is added is added here
    this.#addNumbers('net.ipv4.', this.ipv4, IPV4_RANGES)
    this.#addNumbers('net.ipv4.route.', this.route, ROUTE_RANGES)
    this.#addNumbers('net.core.', this.core, CORE_RANGES)
    this.#addSpecialKnobs()
    this.#addTcpKnobs()
    return table
  }

  /** The settings of a device; those of `default` for an index that was never added. Numeric reads only: hot. */
  conf(ifindex: number): DeviceConf {
    return this.#devices[ifindex] ?? this.default
  }

  /** A device appears: it starts with a copy of `default`. Gives its settings. */
  addDevice(ifindex: number, name: string): DeviceConf {
    const conf = new DeviceConf(this.all)
    for (const field of DEVICE_CONF_NAMES) conf[field] = this.default[field]
    // What was written to `default` before, the device takes for its own: it does not follow another write there.
    for (const field of this.default.settled) conf.settled.add(field)
    this.#devices[ifindex] = conf
    this.#indexOf.set(name, ifindex)
    return conf
  }

  removeDevice(ifindex: number): void {
    this.#devices[ifindex] = undefined
    for (const [name, index] of this.#indexOf) if (index === ifindex) this.#indexOf.delete(name)
  }

  renameDevice(ifindex: number, name: string): void {
    for (const [old, index] of this.#indexOf) if (index === ifindex) this.#indexOf.delete(old)
    this.#indexOf.set(name, ifindex)
  }

  /** The device was given an address: from now on changes of `default` leave it alone. */
  settle(ifindex: number): void {
    const conf = this.#devices[ifindex]
    if (conf !== undefined) for (const field of DEVICE_CONF_NAMES) conf.settled.add(field)
  }

  /** Calls back after every write that changed a value. Gives a function that ends it. */
  onChange(listener: SysctlListener): () => void {
    this.#listeners.push(listener)
    return () => {
      const index = this.#listeners.indexOf(listener)
      if (index >= 0) this.#listeners.splice(index, 1)
    }
  }

  /**
   * The value as `/proc/sys` shows it, pairs with a tab between. Takes `net.ipv4.ip_forward` as well as
   * `net/ipv4/ip_forward`. @throws TunstackError `ENOENT`
   */
  get(name: string): string {
    return this.#knob(name).read()
  }

  /**
   * Writes as `sysctl -w` does; hexadecimal and octal numbers are understood.
   * @throws TunstackError `ENOENT` for a name that is not there, `EINVAL` for a value out of range, `EACCES`
   * for what is read-only
   */
  set(name: string, value: string | number): void {
    const knob = this.#knob(name)
    const text = String(value).trim()
    if (!/^[^\n]*$/.test(text)) throw invalid(name, value, 'one line')
    try {
      knob.write(text)
    } catch (reason) {
      throw reason instanceof Refusal ? invalid(name, value, reason.message) : reason
    }
  }

  /** Every name, in the order of `sysctl -a`. */
  names(): string[] {
    const names = [...this.#knobs.keys()]
    for (const device of ['all', 'default', ...this.#indexOf.keys()]) {
      for (const field of DEVICE_CONF_NAMES) names.push(`net.ipv4.conf.${device}.${field}`)
    }
    return names.sort()
  }

  #knob(name: string): Knob {
    const dotted = name.includes('/') ? slashesToDots(name) : name
    const knob = this.#knobs.get(dotted) ?? this.#deviceKnob(dotted)
    if (knob === undefined) {
      throw new TunstackError('ENOENT', `there is no sysctl '${name}' here; names() lists those there are`, {
        value: name,
        syscall: 'sysctl',
      })
    }
    return knob
  }

  #changed(name: string, ifindex = 0): void {
    for (const listener of this.#listeners) listener(name, ifindex)
  }

  #addNumbers<T extends object>(
    prefix: string,
    settings: T,
    ranges: { readonly [K in keyof T]?: SettingRange },
  ): void {
    const fields = settings as Record<string, number>
    for (const [field, range] of Object.entries(ranges) as [string, SettingRange][]) {
      this.#knobs.set(prefix + field, {
        read: () => String(fields[field]),
        write: (text) => {
          const number = parseNumber(text, range)
          if (field === 'ip_unprivileged_port_start' && number > this.ipv4.ip_local_port_range_low) {
            throw new Refusal('no larger than the first port of ip_local_port_range')
          }
          if (field === 'tcp_reordering' && number > this.ipv4.tcp_max_reordering) {
            throw new Refusal('no larger than tcp_max_reordering')
          }
          // A pair of thresholds that crosses would let reassembly free for ever.
          if (field === 'ipfrag_high_thresh' && number < this.ipv4.ipfrag_low_thresh) {
            throw new Refusal('no smaller than ipfrag_low_thresh')
          }
          if (field === 'ipfrag_low_thresh' && number > this.ipv4.ipfrag_high_thresh) {
            throw new Refusal('no larger than ipfrag_high_thresh')
          }
          if (fields[field] === number) return
          fields[field] = number
          this.#changed(prefix + field)
        },
      })
    }
  }

  #addSpecialKnobs(): void {
    const { ipv4 } = this
    this.#knobs.set('net.ipv4.ip_forward', {
      read: () => String(ipv4.ip_forward),
      write: (text) => this.#setForwarding(parseNumber(text, INT_RANGE)),
    })
    this.#knobs.set('net.ipv4.ip_local_port_range', {
      read: () => `${ipv4.ip_local_port_range_low}\t${ipv4.ip_local_port_range_high}`,
      write: (text) => {
        const [low, high] = parsePair(text, { min: 1, max: 65535 }, ipv4.ip_local_port_range_high)
        if (high < low) throw new Refusal('two ports, the smaller first')
        if (low < ipv4.ip_unprivileged_port_start)
          throw new Refusal('no smaller than ip_unprivileged_port_start')
        ipv4.ip_local_port_range_low = low
        ipv4.ip_local_port_range_high = high
        this.#changed('net.ipv4.ip_local_port_range')
      },
    })
    this.#knobs.set('net.ipv4.ping_group_range', {
      read: () => `${ipv4.ping_group_range_low}\t${ipv4.ping_group_range_high}`,
      write: (text) => {
        const range = { min: 0, max: 4294967294 }
        const [low, high] = parsePair(text, range, ipv4.ping_group_range_high)
        ipv4.ping_group_range_low = high < low ? 1 : low
        ipv4.ping_group_range_high = high < low ? 0 : high
        this.#changed('net.ipv4.ping_group_range')
      },
    })
  }

  #addTcpKnobs(): void {
    const { ipv4 } = this
    this.#addBuffer('tcp_rmem', ['tcp_rmem_min', 'tcp_rmem_default', 'tcp_rmem_max'])
    this.#addBuffer('tcp_mem', ['tcp_mem_low', 'tcp_mem_pressure', 'tcp_mem_high'], {
      min: 0,
      max: Number.MAX_SAFE_INTEGER,
    })
    this.#addBuffer('tcp_wmem', ['tcp_wmem_min', 'tcp_wmem_default', 'tcp_wmem_max'])
    const algorithm = 'net.ipv4.tcp_congestion_control'
    this.#knobs.set(algorithm, {
      read: () => ipv4.tcp_congestion_control,
      write: (text) => {
        const known = CONGESTION_CONTROLS.find((name) => name === text)
        if (known === undefined) {
          const message = `${algorithm} must be one of ${CONGESTION_CONTROLS.join(', ')}; got '${text}'`
          throw new TunstackError('ENOENT', message, { value: text, syscall: 'sysctl' })
        }
        if (known === ipv4.tcp_congestion_control) return
        ipv4.tcp_congestion_control = known
        this.#changed(algorithm)
      },
    })
  }

  /** Three sizes in one; fewer numbers leave the last ones as they are. */
  #addBuffer(name: string, fields: readonly BufferField[], range: SettingRange = BUFFER_RANGE): void {
    const { ipv4 } = this
    this.#knobs.set(`net.ipv4.${name}`, {
      read: () => fields.map((field) => ipv4[field]).join('\t'),
      write: (text) => {
        const words = text.split(/\s+/)
        if (words.length > fields.length) throw new Refusal('three numbers at most')
        const values = words.map((word) => parseNumber(word, range))
        if (values.every((value, i) => ipv4[fields[i]!] === value)) return
        for (const [i, value] of values.entries()) ipv4[fields[i]!] = value
        this.#changed(`net.ipv4.${name}`)
      },
    })
  }

  #deviceKnob(name: string): Knob | undefined {
    if (!name.startsWith('net.ipv4.conf.')) return undefined
    // A device's name may hold dots: the setting is what follows the last one.
    const path = name.slice('net.ipv4.conf.'.length)
    const device = path.slice(0, Math.max(0, path.lastIndexOf('.')))
    const field = DEVICE_CONF_NAMES.find((known) => known === path.slice(device.length + 1))
    const ifindex = this.#indexOf.get(device)
    const conf =
      device === 'all'
        ? this.all
        : device === 'default'
          ? this.default
          : ifindex === undefined
            ? undefined
            : this.#devices[ifindex]
    if (field === undefined || conf === undefined) return undefined
    return {
      read: () => String(conf[field]),
      write: (text) => {
        // A write that is refused was one all the same.
        if (field !== 'forwarding' && field !== 'mc_forwarding') conf.settled.add(field)
        this.#writeDevice(conf, field, parseNumber(text, INT_RANGE), name, ifindex ?? 0)
      },
    }
  }

  #writeDevice(conf: DeviceConf, field: DeviceConfName, value: number, name: string, ifindex: number): void {
    if (field === 'mc_forwarding') {
      throw new TunstackError('EACCES', `${name} is read-only: there is no multicast routing`, { value })
    }
    if (field === 'forwarding') {
      if (conf === this.all) this.#setForwarding(value)
      else if (conf.forwarding !== value) {
        conf.forwarding = value
        this.#changed(name, ifindex)
      }
      return
    }
    const before = conf[field]
    conf[field] = value
    if (conf === this.default && !STAYING.has(field)) {
      // Devices without an address yet, and never written to, still follow the default.
      for (const device of this.#devices) {
        if (device !== undefined && !device.settled.has(field)) device[field] = value
      }
    }
    if (before !== value) this.#changed(name, ifindex)
  }

  /** `ip_forward` and `conf.all.forwarding` are one variable, and a change of it is a change everywhere. */
  #setForwarding(value: number): void {
    if (this.ipv4.ip_forward === value) return
    this.ipv4.ip_forward = value
    this.all.forwarding = value
    // RFC 1812 §5.2.7.2: a router does not heed redirects.
    this.all.accept_redirects = value === 0 ? 1 : 0
    this.default.forwarding = value
    for (const device of this.#devices) if (device !== undefined) device.forwarding = value
    this.#changed('net.ipv4.ip_forward')
  }
}

function slashesToDots(name: string): string {
  // `net/ipv4/conf/eth0.5/rp_filter`: with slashes as separators a dot belongs to the name.
  return name.replaceAll('/', '.')
}

/** The number that the text begins with: what follows it after a space, Linux doesn't read. */
function parseNumber(text: string, range: SettingRange): number {
  const match = /^(-?)(0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*)(?=\s|$)/.exec(text)
  if (match === null) throw new Refusal('a number')
  const digits = match[2]!
  const octal = digits.length > 1 && digits[0] === '0' && digits[1] !== 'x' && digits[1] !== 'X'
  const magnitude = octal ? Number.parseInt(digits, 8) : Number(digits)
  const number = match[1] === '-' ? -magnitude : magnitude
  if (number < range.min || number > range.max) throw new Refusal(`between ${range.min} and ${range.max}`)
  return number === 0 ? 0 : number
}

/** @param high what stays if there is only one number */
function parsePair(text: string, range: SettingRange, high: number): [number, number] {
  const second = /^\S+\s+(.*)$/.exec(text)?.[1]
  return [parseNumber(text, range), second === undefined ? high : parseNumber(second, range)]
}

function invalid(name: string, value: unknown, expected: string): TunstackError {
  return new TunstackError('EINVAL', `${name} must be ${expected}; got '${String(value)}'`, {
    value,
    syscall: 'sysctl',
  })
}
