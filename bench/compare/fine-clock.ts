/**
 * A clock for the relay whose timers are not of whole milliseconds, as the event loop's are: a thread waits for the
 * next deadline on a futex, to some 50 µs, and wakes the loop. A link that is to deliver a packet every 600 µs would
 * else deliver two or three at a time.
 */
import { Worker } from 'node:worker_threads'
import { type Clock, systemClock, type TimerHandle } from '../../lib/index.ts'

/** What the thread runs. `state[0]` counts the changes of the deadline. */
const WAITER = `
const { parentPort, workerData } = require('node:worker_threads')
const state = new Int32Array(workerData, 0, 1)
const deadline = new BigInt64Array(workerData, 8, 1)
for (;;) {
  const seen = Atomics.load(state, 0)
  const due = Atomics.load(deadline, 0)
  if (due === 0n) {
    Atomics.wait(state, 0, seen)
    continue
  }
  const left = Number(due - process.hrtime.bigint()) / 1e6
  if (left > 0 && Atomics.wait(state, 0, seen, left) !== 'timed-out') continue
  if (Atomics.compareExchange(deadline, 0, due, 0n) === due) parentPort.postMessage(0)
}
`

interface FineTimer {
  due: number
  callback: () => void
}

/** {@link systemClock} with finer timers, which keep the process alive. */
export class FineClock implements Clock {
  readonly epoch: bigint
  readonly isRealTime = true
  /** How long after their time timers ran, in nanoseconds: the sum, their number, and the worst. */
  readonly late = { total: 0, count: 0, worst: 0 }
  readonly #clock = systemClock()
  readonly #timers = new Set<FineTimer>()
  readonly #shared = new SharedArrayBuffer(16)
  readonly #state = new Int32Array(this.#shared, 0, 1)
  readonly #deadline = new BigInt64Array(this.#shared, 8, 1)
  readonly #worker = new Worker(WAITER, { eval: true, workerData: this.#shared })
  /** What the thread waits for. */
  #armed = Number.POSITIVE_INFINITY

  constructor() {
    this.epoch = this.#clock.epoch
    this.#worker.on('message', () => this.#run())
  }

  now(): number {
    return this.#clock.now()
  }

  setTimer(callback: () => void, delay: number): TimerHandle {
    const timer = { due: this.now() + delay, callback }
    this.#timers.add(timer)
    this.#arm()
    return timer
  }

  clearTimer(handle: TimerHandle): void {
    this.#timers.delete(handle as FineTimer)
  }

  soon(callback: () => void): void {
    this.#clock.soon(callback)
  }

  async close(): Promise<void> {
    this.#timers.clear()
    await this.#worker.terminate()
  }

  #run(): void {
    this.#armed = Number.POSITIVE_INFINITY
    const now = this.now()
    for (const timer of [...this.#timers]) {
      if (timer.due > now || !this.#timers.delete(timer)) continue
      this.late.total += now - timer.due
      this.late.count++
      this.late.worst = Math.max(this.late.worst, now - timer.due)
      timer.callback()
    }
    this.#arm()
  }

  #arm(): void {
    let next = Number.POSITIVE_INFINITY
    for (const { due } of this.#timers) next = Math.min(next, due)
    if (next >= this.#armed) return
    this.#armed = next
    const left = Math.max(0, Math.round(next - this.now()))
    Atomics.store(this.#deadline, 0, process.hrtime.bigint() + BigInt(left))
    Atomics.add(this.#state, 0, 1)
    Atomics.notify(this.#state, 0)
  }
}
