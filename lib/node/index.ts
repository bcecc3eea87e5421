/** `tunstack/node`: Node's own network modules over a stack. */
export {
  configureDefaultStack,
  type DefaultStackOptions,
  defaultSockets,
  defaultStack,
} from './default-stack.ts'
export type { Connector, ConnectorOptions } from './http/fetch.ts'
export { installInPlace } from './in-place.ts'
export { type LookupFunction, NodeSockets, type NodeSocketsOptions, nodeSockets } from './sockets.ts'
