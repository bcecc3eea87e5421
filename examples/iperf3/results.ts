/** What both ends tell each other after a test, and what the report is made of. */
import { cpus } from 'node:os'
import { IperfError } from './control.ts'
import type { Stream } from './stream.ts'

export interface StreamResult {
  id: number
  isSender: boolean
  bytes: number
  retransmits: number
  jitter: number
  errors: number
  packets: number
  seconds: number
}

/** One end's view. */
export interface Results {
  /** Percent of one processor. */
  cpu: { total: number; user: number; system: number }
  congestion: string
  streams: StreamResult[]
}

/** Processor time since its making. */
export class CpuMeter {
  readonly #begin = process.cpuUsage()
  readonly #start = performance.now()

  read(): Results['cpu'] {
    const { user, system } = process.cpuUsage(this.#begin)
    const elapsed = (performance.now() - this.#start) * 1000
    const most = 100 * cpus().length
    const share = (time: number): number => Math.min((time / elapsed) * 100, most)
    return { total: share(user + system), user: share(user), system: share(system) }
  }
}

export function resultOf(stream: Stream, seconds: number): StreamResult {
  const { bytes, packets, lost, retransmits } = stream.counts
  const { id, isSender, jitter } = stream
  return { id, isSender, bytes, retransmits, jitter, errors: lost, packets, seconds }
}

export function resultsToJson({ cpu, congestion, streams }: Results, udp: boolean): object {
  const sends = streams.some(({ isSender }) => isSender)
  return {
    cpu_util_total: cpu.total,
    cpu_util_user: cpu.user,
    cpu_util_system: cpu.system,
    sender_has_retransmits: udp || !sends ? -1 : 1,
    ...(udp ? {} : { congestion_used: congestion }),
    streams: streams.map(({ id, isSender, bytes, retransmits, jitter, errors, packets, seconds }) => ({
      id,
      bytes,
      retransmits: udp || !isSender ? -1 : retransmits,
      jitter,
      errors,
      omitted_errors: 0,
      packets,
      omitted_packets: 0,
      start_time: 0,
      end_time: seconds,
    })),
  }
}

/** @throws IperfError for what is no result */
export function resultsFromJson(json: Record<string, unknown>): Results {
  const number = (from: Record<string, unknown>, name: string): number => {
    const value = from[name] ?? 0
    if (typeof value !== 'number') throw new IperfError(`no number for '${name}' in the results`, 117)
    return value
  }
  const { streams, congestion_used: congestion } = json
  if (!Array.isArray(streams)) throw new IperfError('no streams in the results', 117)
  return {
    cpu: {
      total: number(json, 'cpu_util_total'),
      user: number(json, 'cpu_util_user'),
      system: number(json, 'cpu_util_system'),
    },
    congestion: typeof congestion === 'string' ? congestion : '',
    streams: (streams as Record<string, unknown>[]).map((stream) => ({
      id: number(stream, 'id'),
      isSender: number(stream, 'retransmits') >= 0,
      bytes: number(stream, 'bytes'),
      retransmits: number(stream, 'retransmits'),
      jitter: number(stream, 'jitter'),
      // Of some versions the omitted ones count in.
      errors: number(stream, 'errors') - number(stream, 'omitted_errors'),
      packets: number(stream, 'packets') - number(stream, 'omitted_packets'),
      seconds: number(stream, 'end_time') - number(stream, 'start_time'),
    })),
  }
}
