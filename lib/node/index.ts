/** `tunstack/node`: Node's own network modules over a stack, and a gateway from a stack to the host's network. */
export {
  configureDefaultStack,
  type DefaultStackOptions,
  defaultSockets,
  defaultStack,
} from './default-stack.ts'
export type { GatewayCounters } from './gateway/context.ts'
export { Gateway, gateway } from './gateway/gateway.ts'
export type {
  GatewayDnsOptions,
  GatewayEndpoint,
  GatewayFlow,
  GatewayForward,
  GatewayOptions,
  GatewayProtocol,
  GatewayVerdict,
} from './gateway/options.ts'
export type { Connector, ConnectorOptions } from './http/fetch.ts'
export { installInPlace } from './in-place.ts'
export { type LookupFunction, NodeSockets, type NodeSocketsOptions, nodeSockets } from './sockets.ts'
