/**
 * Loaded before one of the Node project's own tests: what the tests and their common part require as `net` and `dgram`
 * is that of a stack.
 */
import dns from 'node:dns'
import Module from 'node:module'
import { sep } from 'node:path'
import { Stack } from '../lib/index.ts'
import { nodeSockets } from '../lib/node/index.ts'

type Load = (request: string, parent: { filename?: string | null } | undefined, ...rest: unknown[]) => unknown

const { TUNSTACK_NODE_TESTS: folder = '' } = process.env
const sockets = nodeSockets(new Stack(), {
  lookup: (name, options, callback) => dns.lookup(name, options, callback as never),
})
const OURS = new Map<string, unknown>(
  Object.entries({ net: sockets.net, dgram: sockets.dgram }).flatMap(([name, module]) => [
    [name, module],
    [`node:${name}`, module],
  ]),
)

const loader = Module as unknown as { _load: Load }
const { _load: load } = loader
loader._load = function (request, parent, ...rest) {
  const ours = OURS.get(request)
  if (ours !== undefined && parent?.filename?.startsWith(folder + sep)) return ours
  return Reflect.apply(load, this, [request, parent, ...rest])
}
