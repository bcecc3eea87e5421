/**
 * Asks DNS servers over a stack (RFC 1035): a datagram from an unused port with a number that cannot be guessed
 * (RFC 5452), one server after the other, and again; over TCP where the answer did not fit (RFC 7766). Messages are
 * coded by the package `dns-packet`.
 */
import { randomInt } from 'node:crypto'
import { decode, encode, type Packet, RECURSION_DESIRED } from 'dns-packet'
import type { Stack } from '../../stack/stack.ts'
import { MILLISECOND } from '../../time/clock.ts'

/** One record of an answer. */
export interface Answer {
  type: string
  name: string
  ttl?: number | undefined
  data?: unknown
}

/** An address and a port. */
export interface DnsServer {
  address: string
  port: number
}

export interface DnsClientOptions {
  servers: readonly DnsServer[]
  /** Milliseconds for the first round of servers; doubled for each other. */
  timeout: number
  /** How often each server is asked. */
  tries: number
}

/** Why there is no answer: a code of c-ares, as Node has them. */
export class DnsFailure extends Error {
  readonly code: string

  constructor(code: string) {
    super(code)
    this.code = code
  }
}

/** What a server may send over UDP (RFC 6891, and what fits every path). */
const UDP_PAYLOAD = 1232

/** RCODE of RFC 1035 §4.1.1, by `dns-packet`'s names, and what c-ares calls it. */
const FAILURES: Readonly<Record<string, string>> = {
  FORMERR: 'EFORMERR',
  SERVFAIL: 'ESERVFAIL',
  NXDOMAIN: 'ENOTFOUND',
  NOTIMP: 'ENOTIMP',
  REFUSED: 'EREFUSED',
}

/** Of these another server may know better. */
const ANOTHER = ['ESERVFAIL', 'ENOTIMP', 'EREFUSED']

/**
 * The answers to a question.
 * @param type as in `A`, `MX`
 * @throws DnsFailure; the reason of `signal`
 */
export async function query(
  stack: Stack,
  { servers, timeout, tries }: DnsClientOptions,
  name: string,
  type: string,
  signal: AbortSignal,
): Promise<Answer[]> {
  const question = encodeQuestion(name, type)
  let failure = new DnsFailure('ECONNREFUSED')
  for (let round = 0; round < tries; round++) {
    for (const server of servers) {
      signal.throwIfAborted()
      const late = new AbortController()
      // In the stack's time, which may be virtual.
      const timer = stack.clock.setTimer(
        () => late.abort(new DOMException('the server is silent', 'TimeoutError')),
        timeout * 2 ** round * MILLISECOND,
      )
      try {
        return await ask(stack, server, question, AbortSignal.any([signal, late.signal]))
      } catch (error) {
        signal.throwIfAborted()
        failure = error instanceof DnsFailure ? error : new DnsFailure(codeOf(error))
        if (FINAL.has(failure.code)) throw failure
      } finally {
        stack.clock.clearTimer(timer)
      }
    }
  }
  throw failure
}

/** What no other server would say differently. */
const FINAL = new Set([...Object.values(FAILURES), 'ENODATA'].filter((code) => !ANOTHER.includes(code)))

/** @throws DnsFailure `EBADNAME` */
function encodeQuestion(name: string, type: string): { id: number; name: string; bytes: Uint8Array } {
  const labels = name.replace(/\.$/, '').split('.')
  if (name.length > 254 || labels.some((label) => label.length === 0 || label.length > 63)) {
    throw new DnsFailure('EBADNAME')
  }
  const id = randomInt(0x10000)
  const bytes = encode({
    type: 'query',
    id,
    flags: RECURSION_DESIRED,
    questions: [{ type: type as 'A', name }],
    additionals: [
      {
        type: 'OPT',
        name: '.',
        udpPayloadSize: UDP_PAYLOAD,
        flags: 0,
        options: [],
        extendedRcode: 0,
        ednsVersion: 0,
      } as never,
    ],
  })
  return { id, name, bytes }
}

type Question = ReturnType<typeof encodeQuestion>

async function ask(
  stack: Stack,
  server: DnsServer,
  question: Question,
  signal: AbortSignal,
): Promise<Answer[]> {
  const reply = await overUdp(stack, server, question, signal)
  return answersOf(reply.flag_tc ? await overTcp(stack, server, question, signal) : reply)
}

async function overUdp(stack: Stack, server: DnsServer, question: Question, signal: AbortSignal) {
  const socket = stack.udp.bind()
  try {
    socket.connect(server)
    socket.send(question.bytes)
    for (;;) {
      const { data } = await socket.receive({ signal })
      const reply = decodeReply(data, question)
      if (reply !== null) return reply
    }
  } finally {
    socket.close()
  }
}

async function overTcp(stack: Stack, server: DnsServer, question: Question, signal: AbortSignal) {
  const socket = await stack.tcp.connect({ ...server, signal })
  const abort = (): void => socket.reset()
  signal.addEventListener('abort', abort, { once: true })
  try {
    const { length } = question.bytes
    await socket.write(Buffer.concat([Buffer.from([length >> 8, length & 0xff]), question.bytes]))
    const chunks: Uint8Array[] = []
    for await (const chunk of socket) {
      chunks.push(chunk)
      const all = Buffer.concat(chunks)
      if (all.length < 2 || all.length < 2 + all.readUInt16BE(0)) continue
      const reply = decodeReply(all.subarray(2, 2 + all.readUInt16BE(0)), question)
      if (reply === null) throw new DnsFailure('EBADRESP')
      return reply
    }
    throw new DnsFailure(signal.aborted ? 'ETIMEOUT' : 'EOF')
  } finally {
    signal.removeEventListener('abort', abort)
    socket.close().catch(() => {}) // nobody waits for it
  }
}

type Reply = Packet & { rcode: string; flag_tc: boolean }

/** `null` if it is no answer to this question: forged, late, or broken. */
function decodeReply(bytes: Uint8Array, { id, name }: Question): Reply | null {
  let reply: Reply
  try {
    reply = decode(Buffer.from(bytes)) as unknown as Reply
  } catch {
    return null
  }
  const asked = reply.questions?.[0]?.name
  if (reply.type !== 'response' || reply.id !== id) return null
  const same = asked !== undefined && asked.toLowerCase() === name.replace(/\.$/, '').toLowerCase()
  return same || reply.rcode === 'FORMERR' ? reply : null
}

/** @throws DnsFailure */
function answersOf({ rcode, answers = [] }: Reply): Answer[] {
  if (rcode !== 'NOERROR') throw new DnsFailure(FAILURES[rcode] ?? 'EBADRESP')
  if (answers.length === 0) throw new DnsFailure('ENODATA')
  return answers
}

function codeOf(error: unknown): string {
  const { code, name } = error as { code?: string; name?: string }
  if (name === 'TimeoutError' || code === 'ETIMEDOUT') return 'ETIMEOUT'
  return 'ECONNREFUSED' // as c-ares has it for whatever keeps it from a server
}
