/**
 * `stack.ping()`: the options of a series of echo requests, checked, and the series as a promise.
 */
import { type Ipv4Address, parseIpv4 } from '../address/ipv4-address.ts'
import { invalidArgument } from '../errors.ts'
import type { Clock } from '../time/clock.ts'
import type { TimerWheel } from '../time/timer-wheel.ts'
import type { PathMtuDiscovery, PingProtocol } from './ping-endpoint.ts'
import type { PingProbe, PingResult } from './ping-result.ts'
import { PingSession } from './ping-session.ts'

/** What of `AbortSignal` is used; any runtime's will do. */
export interface AbortSignalLike {
  readonly aborted: boolean
  readonly reason?: unknown
  addEventListener(type: 'abort', listener: () => void, options?: { once?: boolean }): void
  removeEventListener(type: 'abort', listener: () => void): void
}

export interface PingOptions {
  /** Requests to send; 1 by default, `Infinity` until `signal` aborts. */
  count?: number
  /** Milliseconds between requests; 1000 by default. */
  interval?: number
  /** Bytes of data behind the ICMP header, 0…65507; 56 by default. */
  size?: number
  /** Milliseconds to wait for each reply; 10000 by default. */
  timeout?: number
  /** 1…255; the route's or `ip_default_ttl` by default. */
  ttl?: number
  /** The whole TOS octet. */
  tos?: number
  /** An address of this host to send from. */
  source?: string
  /** Name of a device to send by, whatever the routes say. */
  device?: string
  /** `fwmark` of the requests. */
  mark?: number
  /** As `ping -M`; `'want'` by default. */
  pathMtuDiscovery?: PathMtuDiscovery
  /** As `ping -b`: lets a broadcast address be pinged. */
  broadcast?: boolean
  /** Ends the series: what was found so far is the result. */
  signal?: AbortSignalLike
  /** How many probes `PingResult.probes` holds at most, the latest; 10000 by default, 0…65536. */
  keep?: number
  /** Called for each request that is settled. If it throws, the series ends with that error. */
  onProbe?: (probe: PingProbe) => void
}

const MAX_SIZE = 65507

const PATH_MTU_DISCOVERY: readonly PathMtuDiscovery[] = ['want', 'do', 'dont']

/** @throws TunstackError `ERR_INVALID_ARG_VALUE`, `ENODEV`, `EAGAIN` (as a rejection) */
export async function ping(
  protocol: PingProtocol,
  timers: TimerWheel,
  clock: Clock,
  destination: Ipv4Address,
  options: PingOptions,
): Promise<PingResult> {
  const count = within('count', options.count ?? 1, 1, Number.POSITIVE_INFINITY)
  const interval = within('interval', options.interval ?? 1000, 0, 0x7fffffff)
  const size = within('size', options.size ?? 56, 0, MAX_SIZE)
  const timeout = within('timeout', options.timeout ?? 10_000, 1, 0x7fffffff)
  const ttl = options.ttl === undefined ? 0 : within('ttl', options.ttl, 1, 255)
  const tos = within('tos', options.tos ?? 0, 0, 255)
  const keep = within('keep', options.keep ?? 10_000, 0, 65536)
  const { signal, pathMtuDiscovery = 'want' } = options
  const mark = within('mark', options.mark ?? 0, 0, 0xffffffff)
  if (!PATH_MTU_DISCOVERY.includes(pathMtuDiscovery)) {
    throw invalidArgument('pathMtuDiscovery', pathMtuDiscovery, `one of ${PATH_MTU_DISCOVERY.join(', ')}`)
  }
  // Looked at now: once the series has begun, a wrong one would leave it running.
  if (signal !== undefined && typeof signal?.addEventListener !== 'function') {
    throw invalidArgument('signal', signal, 'an AbortSignal')
  }
  if (signal?.aborted === true) throw signal.reason

  const endpoint = protocol.open({
    destination,
    source: options.source === undefined ? 0 : parseIpv4(options.source),
    device: options.device === undefined ? 0 : protocol.deviceIndex(options.device),
    ttl,
    tos,
    mark,
    pathMtuDiscovery,
    broadcast: options.broadcast ?? false,
  })
  const payload = new Uint8Array(size).map((_, i) => i)
  clock.hold?.(true)
  return new Promise<PingResult>((resolve, reject) => {
    const ended = (): void => {
      signal?.removeEventListener('abort', stop)
      clock.hold?.(false)
    }
    const session = new PingSession(
      endpoint,
      destination,
      payload,
      { count, interval, timeout, keep },
      timers,
      () => clock.now(),
      {
        done: (result) => {
          ended()
          resolve(result)
        },
        failed: (error) => {
          ended()
          reject(error)
        },
      },
      options.onProbe,
    )
    const stop = (): void => session.stop()
    signal?.addEventListener('abort', stop, { once: true })
    session.start()
  })
}

function within(name: string, value: number, low: number, high: number): number {
  const whole = Number.isInteger(value) || value === Number.POSITIVE_INFINITY
  // Milliseconds between requests may be less than one.
  const right = whole || (name === 'interval' && typeof value === 'number')
  if (!right || !(value >= low && value <= high)) throw invalidArgument(name, value, `${low}…${high}`)
  return value
}
