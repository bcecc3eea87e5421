/**
 * The public surface of tunstack that runs anywhere: in Node, a worker, a browser. What needs Node or Linux is
 * behind entries of its own: `tunstack/tun`, `tunstack/tuntap2`.
 */

export type { LinkDevice } from './device/link-device.ts'
export { createPipe, type PipeOptions } from './device/pipe.ts'
export { TunstackError } from './errors.ts'
export type { Capture, CaptureOptions, CaptureRecord } from './observe/capture.ts'
export type { PingOptions } from './ping/ping.ts'
export type { PingProbe, PingResult } from './ping/ping-result.ts'
export type { ExplainOptions, ExplainStep, Explanation, Verdict } from './stack/explain.ts'
export { type AddAddressOptions, Interface } from './stack/interface.ts'
export { type RouteOptions, Routes } from './stack/routes.ts'
export { type AddDeviceOptions, Stack, type StackOptions } from './stack/stack.ts'
export { formatIpv4Packet } from './wire/ipv4.ts'
