/** What the oracle and the program that holds its TUN devices say to one another. */

/** A packet and the device that it crosses. */
export interface WirePacket {
  device: string
  bytes: Uint8Array
}

export type Request =
  | { do: 'open'; devices: string[] }
  | { do: 'send'; packets: WirePacket[] /** ms */; wait: number }
  | { do: 'close' }

export interface Response {
  ready?: boolean
  /** Why drop reasons are not reported. */
  noTrace?: string
  error?: string
  /** For each packet 0, or a negative errno of `write()`. */
  refused?: number[]
  received?: WirePacket[]
  /** Names of `SKB_DROP_REASON_*`; absent without tracefs. */
  drops?: string[]
}
