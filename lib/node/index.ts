/** `tunstack/node`: Node's own network modules over a stack. */
export { type LookupFunction, NodeSockets, type NodeSocketsOptions, nodeSockets } from './sockets.ts'
