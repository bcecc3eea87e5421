/** What is printed: a line for each stream and second, sums, and both ends' view at the end; or one JSON object. */
import type { Parameters } from './parameters.ts'
import type { Results, StreamResult } from './results.ts'
import type { Counts, Stream } from './stream.ts'

const LINE = '- - - - - - - - - - - - - - - - - - - - - - - - -'

function scaled(value: number, step: number, units: readonly string[]): string {
  let size = value
  let unit = 0
  while (size >= step && unit < units.length - 1) {
    size /= step
    unit++
  }
  const digits = size < 9.995 ? 2 : size < 99.95 ? 1 : 0
  return `${size.toFixed(digits).padStart(4)} ${units[unit]}`
}

const bytesText = (bytes: number): string =>
  scaled(bytes, 1024, ['Bytes', 'KBytes', 'MBytes', 'GBytes', 'TBytes'])
const rateText = (bits: number): string =>
  scaled(bits, 1000, ['bits/sec', 'Kbits/sec', 'Mbits/sec', 'Gbits/sec'])

function lossText(lost: number, packets: number): string {
  return `${lost}/${packets} (${(packets === 0 ? 0 : (lost / packets) * 100).toPrecision(2)}%)`
}

function sum(results: readonly StreamResult[]): StreamResult {
  const total: StreamResult = {
    id: 0,
    isSender: results[0]?.isSender ?? false,
    bytes: 0,
    retransmits: 0,
    jitter: 0,
    errors: 0,
    packets: 0,
    seconds: 0,
  }
  for (const { bytes, retransmits, jitter, errors, packets, seconds } of results) {
    total.bytes += bytes
    total.retransmits += retransmits
    total.jitter += jitter / results.length
    total.errors += errors
    total.packets += packets
    total.seconds = Math.max(total.seconds, seconds)
  }
  return total
}

export class Report {
  readonly #parameters: Parameters
  readonly #asJson: boolean
  readonly #start: object
  readonly #intervals: object[] = []
  readonly #before = new Map<Stream, Counts>()
  #from = 0

  /** @param start what JSON output says of the beginning: the peer, the parameters */
  constructor(parameters: Parameters, asJson: boolean, start: object) {
    this.#parameters = parameters
    this.#asJson = asJson
    this.#start = start
    if (asJson) return
    const { udp } = parameters
    console.log(
      `[ ID] Interval           Transfer     Bitrate         ${udp ? 'Jitter    Lost/Total Datagrams' : 'Retr  Cwnd'}`,
    )
  }

  /** The omitted seconds are over: intervals begin again. */
  restart(): void {
    this.#before.clear()
    this.#from = 0
  }

  /** Everything since the last call, at `seconds` since the beginning. */
  interval(streams: readonly Stream[], seconds: number): void {
    const [from, to] = [this.#from, seconds]
    this.#from = seconds
    const rows = streams.map((stream) => {
      const counts = stream.counts
      const before = this.#before.get(stream) ?? {
        bytes: 0,
        packets: 0,
        lost: 0,
        outOfOrder: 0,
        retransmits: 0,
      }
      this.#before.set(stream, counts)
      const result: StreamResult = {
        id: stream.id,
        isSender: stream.isSender,
        bytes: counts.bytes - before.bytes,
        retransmits: counts.retransmits - before.retransmits,
        jitter: stream.jitter,
        errors: counts.lost - before.lost,
        packets: counts.packets - before.packets,
        seconds: to - from,
      }
      if (!this.#asJson)
        console.log(this.#row(stream.id, result, from, to, stream.isSender, stream.describe()))
      return { result, stream }
    })
    if (!this.#asJson && rows.length > 1) {
      for (const isSender of [true, false]) {
        const some = rows.filter(({ stream }) => stream.isSender === isSender).map(({ result }) => result)
        if (some.length > 1) console.log(this.#row('SUM', sum(some), from, to, isSender, null))
      }
    }
    if (this.#asJson) {
      this.#intervals.push({
        streams: rows.map(({ result, stream }) => ({
          ...this.#object(result, from, to, stream.isSender),
          ...(stream.describe() === null
            ? {}
            : { snd_cwnd: stream.describe()!.congestionWindow, rtt: stream.describe()!.rtt }),
        })),
        sum: this.#object(sum(rows.map(({ result }) => result)), from, to, rows[0]?.stream.isSender ?? false),
      })
    }
  }

  /** What both ends have counted. */
  finish(streams: readonly Stream[], own: Results, peer: Results, isClient: boolean): void {
    const pairs = own.streams.map((result, i) => {
      const other = peer.streams.find(({ id }) => id === result.id) ?? result
      const { isSender } = streams[i]!
      return { isSender, sender: isSender ? result : other, receiver: isSender ? other : result }
    })
    const sent = sum(pairs.map(({ sender }) => sender))
    const received = sum(pairs.map(({ receiver }) => receiver))
    if (this.#asJson) {
      const both = ({ sender, receiver }: { sender: StreamResult; receiver: StreamResult }): object => ({
        sender: this.#object(sender, 0, sender.seconds, true),
        receiver: this.#object(receiver, 0, receiver.seconds, false),
      })
      const [host, remote] = [own.cpu, peer.cpu]
      console.log(
        JSON.stringify(
          {
            start: this.#start,
            intervals: this.#intervals,
            end: {
              streams: pairs.map(both),
              sum_sent: this.#object(sent, 0, sent.seconds, true),
              sum_received: this.#object(received, 0, received.seconds, false),
              cpu_utilization_percent: {
                host_total: host.total,
                host_user: host.user,
                host_system: host.system,
                remote_total: remote.total,
                remote_user: remote.user,
                remote_system: remote.system,
              },
              ...(own.congestion === ''
                ? {}
                : { [isClient ? 'sender_tcp_congestion' : 'receiver_tcp_congestion']: own.congestion }),
            },
          },
          null,
          2,
        ),
      )
      return
    }
    console.log(LINE)
    for (const { sender, receiver } of pairs) {
      console.log(`${this.#row(sender.id, sender, 0, sender.seconds, true, null)}  sender`)
      console.log(`${this.#row(receiver.id, receiver, 0, receiver.seconds, false, null)}  receiver`)
    }
    for (const isSender of [true, false]) {
      const some = pairs.filter((pair) => pair.isSender === isSender)
      if (some.length < 2) continue
      const [out, back] = [sum(some.map(({ sender }) => sender)), sum(some.map(({ receiver }) => receiver))]
      console.log(`${this.#row('SUM', out, 0, out.seconds, true, null)}  sender`)
      console.log(`${this.#row('SUM', back, 0, back.seconds, false, null)}  receiver`)
    }
    console.log('')
  }

  #row(
    id: number | 'SUM',
    { bytes, retransmits, jitter, errors, packets }: StreamResult,
    from: number,
    to: number,
    isSender: boolean,
    more: { congestionWindow: number } | null,
  ): string {
    const rate = to > from ? (bytes * 8) / (to - from) : 0
    const head = `[${String(id).padStart(3)}] ${`${from.toFixed(2)}-${to.toFixed(2)}`.padStart(11)} sec  ${bytesText(bytes)}  ${rateText(rate)}`
    if (this.#parameters.udp) {
      return isSender
        ? `${head}  ${packets}`
        : `${head}  ${(jitter * 1000).toFixed(3)} ms  ${lossText(errors, packets)}`
    }
    if (!isSender) return head
    return `${head} ${String(retransmits).padStart(4)}${more === null ? '' : `   ${bytesText(more.congestionWindow)}`}`
  }

  #object(
    { id, bytes, retransmits, jitter, errors, packets }: StreamResult,
    from: number,
    to: number,
    sender: boolean,
  ): object {
    const seconds = to - from
    return {
      ...(id === 0 ? {} : { id }),
      start: from,
      end: to,
      seconds,
      bytes,
      bits_per_second: seconds > 0 ? (bytes * 8) / seconds : 0,
      ...(this.#parameters.udp
        ? {
            jitter_ms: jitter * 1000,
            lost_packets: errors,
            packets,
            lost_percent: packets === 0 ? 0 : (errors / packets) * 100,
          }
        : sender
          ? { retransmits }
          : {}),
      sender,
    }
  }
}
