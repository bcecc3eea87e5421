/**
 * The line of figures that a measured program writes when SIGUSR2 asks for it, and ends at SIGTERM. The reference
 * programs in C write the same.
 */
import type { TunDriver, TunHandle, TunOpenFailure, TunOpenRequest } from '../lib/device/tun/driver.ts'

export interface ResponderStats {
  /** Packets read from the device. */
  packets: number
  /** Calls from the event loop (wake-ups, in C) that brought them. */
  reads: number
  /** Microseconds of the whole process, user and system. */
  cpu: number
  /** Packets that could not be sent. */
  lost: number
  /** Bytes in use on the JavaScript heap. */
  heap?: number
}

/** What has been read, by all devices of the process. */
export const counts = { packets: 0, reads: 0, lost: 0 }

/** Answers SIGUSR2, and says that the program is ready. */
export function reportOnSignal(): void {
  let number = 0
  process.on('SIGUSR2', () => {
    const { user, system } = process.cpuUsage()
    const stats: ResponderStats = { ...counts, cpu: user + system, heap: process.memoryUsage().heapUsed }
    process.stdout.write(`stats ${++number} ${JSON.stringify(stats)}\n`)
  })
  process.stdout.write('ready\n')
}

/** A driver that counts what the given one reads. It costs a call per burst. */
export function countingDriver(driver: TunDriver): TunDriver {
  return {
    kind: driver.kind,
    open(request: TunOpenRequest): TunHandle | TunOpenFailure {
      const handle = driver.open(request)
      if ('errno' in handle) return handle
      const start = handle.start.bind(handle)
      handle.start = (ring, callback) =>
        start(ring, (n, errno, seconds, nanoseconds) => {
          counts.packets += n
          counts.reads++
          callback(n, errno, seconds, nanoseconds)
        })
      return handle
    },
    interfaceIndex: (name) => driver.interfaceIndex(name),
    registerArena: (buffer) => driver.registerArena(buffer),
  }
}
