/** What the two ends of a flow say of it: the same of the kernel's ends (bench/native/tcp-flow.c) and of the stack's. */
import type { TcpEvent, TcpInfo } from '../../lib/index.ts'

export const ENDS = ['kernel', 'stack'] as const
/** Whose TCP an end has. */
export type End = (typeof ENDS)[number]

/** Of the receiver. */
export interface Received {
  /** When the connection was accepted, in seconds of the machine's monotonic clock. */
  start: number
  /** Bytes that the program has read, all of them as they should be. */
  bytes: number
  /** Bytes for each slot of time. */
  slots: number[]
}

/** Of the sender, when the flow was over; a part of `TCP_INFO`. */
export interface Sent {
  start: number
  info: Partial<TcpInfo>
  /** `TCP_INFO` of the kernel's sender, as time goes. */
  trace?: (Partial<TcpInfo> & { time: number })[]
  /** The events of the stack's sender; `time` is that of its stack, in ns. */
  events?: TcpEvent[]
}

/** What the stack's end is told to do. */
export type StackOrder =
  | { id: number; receive: { port: number; seconds: number; slot: number } }
  | { id: number; send: StackSend }

export interface StackSend {
  address: string
  port: number
  congestion: string
  /** Whether its events are wanted. */
  traced: boolean
}
