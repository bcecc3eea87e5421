/**
 * `SO_RCVBUF` and `SO_SNDBUF` of a handle: asked for in bytes, granted twice of it for the kernel's own needs, between
 * a least size and the sysctl's. The stack takes the one for receiving as it is; what is sent waits in no buffer.
 */
import { Errno } from '../../errors.ts'
import type { CoreSettings } from '../../sysctl/settings.ts'
import type { UdpSocket } from '../../udp/udp-socket.ts'

/** `SOCK_MIN_RCVBUF`, `SOCK_MIN_SNDBUF` */
const MIN_RECEIVE = 2304
const MIN_SEND = 4608
const MAX_INT = 0x7fffffff

/** What Node makes a `SystemError` of. */
export interface SystemErrorContext {
  errno?: number
  code?: string
  message?: string
  syscall?: string
}

export class BufferSizes {
  readonly #limits: CoreSettings
  receive: number
  #send: number

  constructor(limits: CoreSettings) {
    this.#limits = limits
    this.receive = limits.rmem_default
    this.#send = limits.wmem_default
  }

  /** @param size 0: nothing is changed. Gives the size; `undefined`: `context` says why not */
  change(
    open: boolean,
    socket: UdpSocket | null,
    size: number,
    receive: boolean,
    context: SystemErrorContext,
  ): number | undefined {
    const syscall = receive ? 'uv_recv_buffer_size' : 'uv_send_buffer_size'
    if (size > MAX_INT) return fail(context, -Errno.EINVAL, 'EINVAL', 'invalid argument', syscall)
    if (!open) return fail(context, -Errno.EBADF, 'EBADF', 'bad file descriptor', syscall)
    if (size === 0) return receive ? this.receive : this.#send
    const { rmem_max, wmem_max } = this.#limits
    if (receive) {
      this.receive = Math.max(Math.min(size, rmem_max) * 2, MIN_RECEIVE)
      socket?.setReceiveBuffer(Math.min(this.receive, MAX_INT))
    } else this.#send = Math.max(Math.min(size, wmem_max) * 2, MIN_SEND)
    return size
  }
}

function fail(
  context: SystemErrorContext,
  errno: number,
  code: string,
  message: string,
  syscall: string,
): undefined {
  Object.assign(context, { errno, code, message, syscall })
}
