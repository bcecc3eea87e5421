/** `tunstack/tun`: Linux TUN devices for a stack. */
export type {
  InterfaceProperty,
  ReceiveRing,
  TunDriver,
  TunHandle,
  TunOpenFailure,
  TunOpenRequest,
} from './driver.ts'
export type { KernelInterface } from './kernel-interface.ts'
export type { TunOffload } from './offload.ts'
export { openTun, openTunSync, type TunOptions } from './open-tun.ts'
export { TunDevice } from './tun-device.ts'
export type { TunIo } from './tun-io.ts'
