/** `tunstack/net`: `node:net` over the process's default stack, to import, or to require as an object that can be changed. */
import { defaultSockets } from './default-stack.ts'

const { net } = defaultSockets()

export const {
  BlockList,
  Server,
  Socket,
  SocketAddress,
  Stream,
  connect,
  createConnection,
  createServer,
  getDefaultAutoSelectFamily,
  getDefaultAutoSelectFamilyAttemptTimeout,
  isIP,
  isIPv4,
  isIPv6,
  setDefaultAutoSelectFamily,
  setDefaultAutoSelectFamilyAttemptTimeout,
} = net as typeof net & { Stream: typeof net.Socket }

export default net
export { net as 'module.exports' }
