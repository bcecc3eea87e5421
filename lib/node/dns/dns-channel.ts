/**
 * What Node's own resolvers ask: in the place of the channel of c-ares that each has. A query is answered by calling
 * its `oncomplete` with a code of c-ares, or with what was found in the shape that Node gives to programs.
 */
import { isIP, isIPv4 } from 'node:net'
import type { Stack } from '../../stack/stack.ts'
import type { Turns } from '../turns.ts'
import { type Answer, DnsFailure, type DnsServer, query } from './dns-client.ts'
import type { Names } from './hosts.ts'

/** `QueryReqWrap` */
interface Request {
  oncomplete(error: string | null, result?: unknown, ttls?: readonly number[]): void
}

type Data = Record<string, never>

/** Node 24 says what it is, of some. */
const typed = (type: string): object => (Number.parseInt(process.versions.node, 10) >= 24 ? { type } : {})

/** What becomes of one answer, by its type. */
const SHAPES: Readonly<Record<string, (data: never) => unknown>> = {
  A: (data: string) => data,
  AAAA: (data: string) => data,
  CNAME: (data: string) => data,
  NS: (data: string) => data,
  PTR: (data: string) => data,
  TXT: (data: Buffer | Buffer[]) => [data].flat().map(String),
  MX: ({ exchange, preference }: Data) => ({ exchange, priority: preference, ...typed('MX') }),
  SRV: ({ target, port, priority, weight }: Data) => ({
    name: target,
    port,
    priority,
    weight,
    ...typed('SRV'),
  }),
  NAPTR: ({ flags, services, regexp, replacement, order, preference }: Data) => ({
    flags,
    service: services,
    regexp,
    replacement,
    order,
    preference,
  }),
  SOA: ({ mname, rname, serial, refresh, retry, expire, minimum }: Data) => ({
    nsname: mname,
    hostmaster: rname,
    serial,
    refresh,
    retry,
    expire,
    minttl: minimum,
  }),
  CAA: ({ issuerCritical, tag, value }: Data) => ({
    critical: issuerCritical ? 128 : 0,
    ...typed('CAA'),
    [tag as string]: value,
  }),
  TLSA: ({ usage, selector, matchingType, certificate }: Data) => ({
    certUsage: usage,
    selector,
    match: matchingType,
    data: new Uint8Array(certificate as unknown as Buffer).buffer,
  }),
}

/** c-ares asks for ANY with one query, and gives each answer with its type. */
function anyOf({ type, ttl, data }: Answer): object | null {
  const shape = SHAPES[type]?.(data as never)
  if (shape === undefined) return null
  if (type === 'A' || type === 'AAAA') return { address: shape, ttl, type }
  if (type === 'TXT') return { entries: shape, type }
  return typeof shape === 'string' ? { value: shape, type } : { ...(shape as object), type }
}

export interface DnsChannelContext {
  readonly stack: Stack
  readonly hosts: Names
  readonly turns: Turns
}

export class DnsChannel {
  readonly #context: DnsChannelContext
  readonly #timeout: number
  readonly #tries: number
  #servers: readonly DnsServer[]
  #abort = new AbortController()

  /** @param timeout milliseconds, -1: 5000 @param tries how often each server is asked */
  constructor(context: DnsChannelContext, servers: readonly DnsServer[], timeout = -1, tries = 4) {
    this.#context = context
    this.#servers = servers
    this.#timeout = timeout === -1 ? 5000 : timeout
    this.#tries = tries
  }

  getServers(): [string, number][] {
    return this.#servers.map(({ address, port }) => [address, port])
  }

  /** @param servers each with the family, address and port */
  setServers(servers: readonly [number, string, number][]): number {
    this.#servers = servers.map(([, address, port]) => ({ address, port }))
    return 0
  }

  /** The stack chooses the address that is asked from. */
  setLocalAddress(): void {}

  cancel(): void {
    this.#abort.abort(new DnsFailure('ECANCELLED'))
    this.#abort = new AbortController()
  }

  /** Answers of one type, following what the name is another name for. @throws DnsFailure */
  async find(name: string, type: string): Promise<Answer[]> {
    const options = { servers: this.#servers, timeout: this.#timeout, tries: this.#tries }
    const { stack, turns } = this.#context
    turns.hold(true) // the process lives until it is answered
    const answers = await query(stack, options, name, type, this.#abort.signal).finally(() =>
      turns.hold(false),
    )
    if (type === 'ANY') return answers
    const found = answers.filter((answer) => answer.type === type)
    if (found.length === 0) throw new DnsFailure('ENODATA')
    return found
  }

  queryAny(request: Request, name: string): number {
    return answer(request, async () => [
      (await this.find(name, 'ANY')).map(anyOf).filter((found) => found !== null),
    ])
  }

  /** Names of an address. */
  getHostByAddr(request: Request, address: string): number {
    if (isIP(address) === 0) return EINVAL
    return answer(
      request,
      async () => {
        const known = this.#context.hosts.names(address)
        return [
          known.length > 0 ? known : (await this.find(reverseName(address), 'PTR')).map(({ data }) => data),
        ]
      },
      'ENOTFOUND',
    )
  }

  /** @internal */
  ask(request: Request, name: string, type: string): number {
    return answer(request, async () => {
      const found = await this.find(name, type)
      const shaped = found.map(({ data }) => SHAPES[type]!(data as never))
      const ttls = found.map(({ ttl }) => ttl ?? 0)
      return [type === 'SOA' ? shaped[0] : shaped, ttls]
    })
  }
}

const EINVAL = -22

// queryA, queryMx, …: what the methods of resolvers call.
for (const type of Object.keys(SHAPES)) {
  const name = `query${type.charAt(0)}${type.slice(1).toLowerCase()}`
  Object.defineProperty(DnsChannel.prototype, name, {
    value(this: DnsChannel, request: Request, host: string): number {
      return this.ask(request, host, type)
    },
  })
}

/** @param otherwise the code for whatever there may be, if it is always the same */
function answer(
  request: Request,
  find: () => Promise<[result: unknown, ttls?: readonly number[]]>,
  otherwise?: string,
): number {
  find().then(
    (found) => request.oncomplete(null, ...found),
    (error: unknown) =>
      request.oncomplete(otherwise ?? (error instanceof DnsFailure ? error.code : 'EBADRESP')),
  )
  return 0
}

/** `4.3.2.1.in-addr.arpa` (RFC 1035 §3.5, RFC 3596 §2.5). */
export function reverseName(address: string): string {
  if (isIPv4(address)) return `${address.split('.').reverse().join('.')}.in-addr.arpa`
  const [left = '', right] = address.split('::')
  const words = (text: string | undefined): string[] => (text ? text.split(':') : [])
  const [head, tail] = [words(left), words(right)]
  const all =
    right === undefined ? head : [...head, ...Array<string>(8 - head.length - tail.length).fill('0'), ...tail]
  const digits = all.map((word) => word.padStart(4, '0')).join('')
  return `${[...digits].reverse().join('.')}.ip6.arpa`
}
