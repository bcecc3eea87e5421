/** The last lines of iputils' `ping`, as numbers. */

export interface PingSummary {
  transmitted: number
  received: number
  duplicates: number
  corrupted: number
  /** ICMP errors that came back. */
  errors: number
  /** Per cent. */
  loss: number
  /** Milliseconds; `null` if nothing came back. */
  rtt: { min: number; avg: number; max: number; mdev: number } | null
}

/** @throws Error with the text if it has no summary */
export function parsePing(text: string): PingSummary {
  const line = /^(\d+) packets transmitted, (\d+) received(.*?), ([\d.]+)% packet loss/m.exec(text)
  if (line === null) throw new Error(`no summary of ping in:\n${text}`)
  const extra = (what: string): number => Number(new RegExp(`\\+(\\d+) ${what}`).exec(line[3]!)?.[1] ?? 0)
  const rtt = /^rtt min\/avg\/max\/mdev = ([\d.]+)\/([\d.]+)\/([\d.]+)\/([\d.]+) ms/m.exec(text)
  return {
    transmitted: Number(line[1]),
    received: Number(line[2]),
    duplicates: extra('duplicates'),
    corrupted: extra('corrupted'),
    errors: extra('errors'),
    loss: Number(line[4]),
    rtt: rtt && { min: Number(rtt[1]), avg: Number(rtt[2]), max: Number(rtt[3]), mdev: Number(rtt[4]) },
  }
}
