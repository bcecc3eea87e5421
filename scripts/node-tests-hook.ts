/**
 * Loaded before one of the Node project's own tests: what the tests and their common part require as `net` or
 * `dgram`, whichever is tested, is that of a stack.
 */
import dns from 'node:dns'
import Module from 'node:module'
import { sep } from 'node:path'
import { Stack } from '../lib/index.ts'
import { nodeSockets } from '../lib/node/index.ts'

type Load = (request: string, parent: { filename?: string | null } | undefined, ...rest: unknown[]) => unknown

const { TUNSTACK_NODE_TESTS: folder = '', TUNSTACK_NODE_MODULE: module = '' } = process.env
const sockets = nodeSockets(new Stack(), {
  localSockets: true, // as tunstack/net has them
  lookup: (name, options, callback) => dns.lookup(name, options, callback as never),
})
const OURS = new Map<string, unknown>(Object.entries({ net: sockets.net, dgram: sockets.dgram }))

const loader = Module as unknown as { _load: Load }
const { _load: load } = loader
loader._load = function (request, parent, ...rest) {
  const asked = request.replace(/^node:/, '') === module && parent?.filename?.startsWith(folder + sep)
  if (asked) return OURS.get(module)
  return Reflect.apply(load, this, [request, parent, ...rest])
}
