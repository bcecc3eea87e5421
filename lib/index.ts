/**
 * The public surface of tunstack that runs anywhere: in Node, a worker, a browser. What needs Node or Linux is
 * behind entries of its own: `tunstack/tun`, `tunstack/tuntap2`.
 */
export { TunstackError } from './errors.ts'
export { Stack, type AddDeviceOptions, type StackOptions } from './stack/stack.ts'
export { Interface, type AddAddressOptions } from './stack/interface.ts'
export { Routes, type RouteOptions } from './stack/routes.ts'
