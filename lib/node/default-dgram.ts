/** `tunstack/dgram`: `node:dgram` over the process's default stack, to import, or to require as an object that can be changed. */
import { defaultSockets } from './default-stack.ts'

const { dgram } = defaultSockets()

export const { Socket, createSocket } = dgram

export default dgram
export { dgram as 'module.exports' }
