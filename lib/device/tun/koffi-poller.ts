/**
 * Waits for the devices of the driver over koffi. One thread of libuv's pool is parked in `poll()` for all of them,
 * and only while none has packets: as long as they come, devices are read once per turn of the event loop, so that
 * timers keep their turn. A pipe wakes the thread when what it should wait for has changed.
 *
 * What Node does at its own end decides the details. It joins its threads before the process exits, so the thread
 * is woken then. It waits for them before a worker is gone, and tells a terminated worker nothing, so there the
 * thread looks up every {@link WORKER_TIMEOUT}; and it closes what a worker opened with `fs`, so all descriptors
 * come from there.
 */
import { closeSync, openSync } from 'node:fs'
import { isMainThread } from 'node:worker_threads'
import type { Libc } from './koffi-libc.ts'

/** What is waited for. */
export interface Pollable {
  readonly fd: number
  /** Packets are wanted; otherwise only the end of the interface is. */
  readonly reading: boolean
  /** Reads a batch; how many packets. May throw what the application threw. */
  receive(): number
  /** `poll()` says that something is wrong with the descriptor. */
  failed(): void
  /** Until when to look again without waiting; in the milliseconds of `performance.now()`. */
  readonly busyUntil: number
}

/** An open device, whether anything is waited for or not: it may keep the process alive. */
export interface Hold {
  referenced: boolean
}

const POLLIN = 1
const POLLERR = 8
const POLLHUP = 0x10
const POLLNVAL = 0x20
/** `struct pollfd`: descriptor (4 bytes), events, revents (2 each). */
const POLLFD = 8
/** No `poll()` returns it, so a thread that has not returned yet leaves it there. */
const PENDING = 0x7fff

/** Milliseconds between looks of the thread of a worker: so long `terminate()` may have to wait. */
const WORKER_TIMEOUT = 50
/** Milliseconds between looks at devices that may not keep the process alive, which a waiting thread would. */
const UNREFERENCED_INTERVAL = 1

const O_CLOEXEC = 0x80000

export class KoffiPoller {
  readonly #libc: Libc
  readonly #holds = new Set<Hold>()
  readonly #devices = new Set<Pollable>()
  /** Both ends of the pipe, while a device is open. */
  #pipe: [number, number] | null = null
  #fds = new Uint8Array(new ArrayBuffer(16 * POLLFD))
  #view = new DataView(this.#fds.buffer)
  /** In the order of `#fds`, behind the pipe. */
  #watched: Pollable[] = []
  #parked = false
  #immediate: NodeJS.Immediate | null = null
  #timer: NodeJS.Timeout | null = null
  readonly #byte = new Uint8Array(new ArrayBuffer(8))
  readonly #iovec = new BigUint64Array(new ArrayBuffer(16))
  readonly #iovecAddress: number

  constructor(libc: Libc) {
    this.#libc = libc
    this.#iovec[0] = BigInt(libc.address(this.#byte))
    this.#iovec[1] = 1n
    this.#iovecAddress = libc.address(this.#iovec.buffer)
  }

  hold(hold: Hold): void {
    if (this.#holds.size === 0) {
      this.#pipe = this.#makePipe()
      process.on('exit', this.#wake)
    }
    this.#holds.add(hold)
    this.changed()
  }

  /** Undoes {@link hold}. */
  release(hold: Hold): void {
    if (!this.#holds.delete(hold)) return
    if (this.#holds.size === 0) this.#stop()
    else this.changed()
  }

  watch(device: Pollable): void {
    this.#devices.add(device)
    this.changed()
  }

  /** The thread has left the device's descriptor when this returns, so that closing it ends the interface. */
  unwatch(device: Pollable): void {
    if (!this.#devices.delete(device) || !this.#parked) return
    this.#wake()
    // The kernel lets go of the descriptors, then writes what happened to them. Not for long: the byte is there.
    for (let i = 0; i < 4000 && this.#view.getUint16(6, true) === PENDING; i++) this.#libc.sleep(50)
  }

  /** What is to be waited for is not what it was. */
  changed(): void {
    if (this.#parked) this.#wake()
    else this.#soon()
  }

  #stop(): void {
    this.#wake()
    process.off('exit', this.#wake)
    if (this.#immediate !== null) clearImmediate(this.#immediate)
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#immediate = null
    this.#timer = null
    for (const fd of this.#pipe!) closeSync(fd)
    this.#pipe = null
    this.#watched = []
  }

  #makePipe(): [number, number] {
    const fds = new Uint8Array(new ArrayBuffer(8))
    if (this.#libc.pipe(fds, O_CLOEXEC) < 0) throw new Error(`pipe2: errno ${this.#libc.errno()}`)
    const ends = [...new Int32Array(fds.buffer)] as [number, number]
    try {
      return [openSync(`/proc/self/fd/${ends[0]}`, 'r'), openSync(`/proc/self/fd/${ends[1]}`, 'w')]
    } finally {
      for (const fd of ends) this.#libc.close(fd)
    }
  }

  readonly #wake = (): void => {
    if (this.#parked) this.#libc.writev(this.#pipe![1], this.#iovecAddress, 1)
  }

  #soon(): void {
    if (this.#immediate !== null || this.#holds.size === 0) return
    this.#immediate = setImmediate(this.#turn)
    if (!this.#referenced()) this.#immediate.unref()
  }

  #referenced(): boolean {
    for (const hold of this.#holds) if (hold.referenced) return true
    return false
  }

  /** Reads every device once; then again in the next turn if anything came, else waits. */
  readonly #turn = (): void => {
    this.#immediate = null
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = null
    let came = false
    try {
      for (const device of this.#devices) {
        if (device.reading && device.receive() > 0) came = true
      }
    } catch (error) {
      came = true
      throw error
    } finally {
      if (came || this.#busy()) this.#soon()
      else this.#wait()
    }
  }

  #busy(): boolean {
    let until = 0
    for (const device of this.#devices) if (device.reading) until = Math.max(until, device.busyUntil)
    return until > 0 && performance.now() < until
  }

  #wait(): void {
    if (this.#holds.size === 0 || this.#parked || this.#immediate !== null) return
    if (!this.#referenced()) {
      this.#timer ??= setTimeout(this.#look, UNREFERENCED_INTERVAL).unref()
      return
    }
    this.#watched = [...this.#devices]
    this.#fillPollfds()
    this.#parked = true
    const timeout = isMainThread ? -1 : WORKER_TIMEOUT
    this.#libc.pollLater(this.#libc.address(this.#fds), this.#watched.length + 1, timeout, this.#onReturn)
  }

  /** In place of a thread that waits. */
  readonly #look = (): void => {
    this.#timer = null
    for (const device of this.#devices) if (!device.reading) device.failed()
    this.#turn()
  }

  #fillPollfds(): void {
    const bytes = (this.#watched.length + 1) * POLLFD
    if (bytes > this.#fds.length) {
      this.#fds = new Uint8Array(new ArrayBuffer(2 * bytes))
      this.#view = new DataView(this.#fds.buffer)
    }
    const view = this.#view
    view.setInt32(0, this.#pipe![0], true)
    view.setUint16(4, POLLIN, true)
    view.setUint16(6, PENDING, true)
    this.#watched.forEach(({ fd, reading }, i) => {
      const at = (i + 1) * POLLFD
      view.setInt32(at, fd, true)
      view.setUint32(at + 4, reading ? POLLIN : 0, true)
    })
  }

  /** On return of `poll()`. What is thrown inside would be lost in koffi: it is thrown again outside. */
  readonly #onReturn = (): void => {
    this.#parked = false
    try {
      this.#serve()
    } catch (error) {
      setImmediate(() => {
        throw error
      })
    }
  }

  #serve(): void {
    if (this.#pipe === null) return
    const view = this.#view
    // A pipe that was closed and made again meanwhile has another byte, or none: then nothing waits in it.
    if ((view.getUint16(6, true) & POLLIN) !== 0 && view.getInt32(0, true) === this.#pipe[0]) {
      this.#libc.readv(this.#pipe[0], this.#iovecAddress, 1)
    }
    const watched = this.#watched
    this.#watched = []
    for (let i = 0; i < watched.length; i++) {
      const device = watched[i]!
      const revents = view.getUint16((i + 1) * POLLFD + 6, true)
      if ((revents & (POLLERR | POLLHUP | POLLNVAL)) !== 0 && this.#devices.has(device) && !device.reading) {
        device.failed()
      }
    }
    this.#turn()
  }
}
