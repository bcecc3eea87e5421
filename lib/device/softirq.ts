/**
 * The loop in which everything below the sockets runs (what softirq and NAPI are to Linux). Work comes in at the
 * event loop: a burst from a device, a call of the application, a timer. All of it is done between `enter` and
 * `leave`; what is to be sent is collected and flushed once, devices that asked to be polled (loopback, pipes)
 * are polled until they are dry or the budget is spent, and only then is the application told: so it can call
 * back in, and nothing is ever re-entered.
 */

import { clearArray } from '../collections/clear-array.ts'
import { Fifo } from '../collections/fifo.ts'
import { Burst, PacketQueue } from '../packet/burst.ts'
import type { Packet } from '../packet/packet.ts'
import type { Clock } from '../time/clock.ts'
import type { LinkDevice } from './link-device.ts'
import type { NetDevice } from './net-device.ts'

/** Something that has news for the application. */
export interface EventSource {
  /** Delivers what has come up; called outside of packet processing. */
  deliverEvents(): void
  /** The loop's: it waits to be called. */
  eventsPending: boolean
}

/** Something that answers a whole burst at once. */
export interface BurstListener {
  /** The burst at hand has been processed, and what it gave rise to has not left yet. */
  burstProcessed(): void
}

/** Sources of events served per turn of the event loop at most. */
const EVENT_ROUNDS = 1000

/** What the loop does with a burst. */
export type BurstHandler = (burst: Burst, device: NetDevice) => void

export class Softirq {
  /** Stack time in nanoseconds, read when the outermost `enter` begins. */
  now = 0
  /** Packets per turn of the event loop that polled devices may bring (`netdev_budget`). */
  budget = 300
  readonly #clock: Clock
  readonly #handle: BurstHandler
  readonly #settle: () => void
  readonly #transmit: NetDevice[] = []
  readonly #poll: NetDevice[] = []
  /** In the order in which they came up, each once. */
  readonly #events = new Fifo<EventSource>()
  readonly #answers: BurstListener[] = []
  readonly #burst = new Burst()
  readonly #later = new PacketQueue(1000)
  readonly #resume = (): void => {
    this.#resuming = false
    this.#sent = false
    this.enter()
    this.leave()
  }
  #depth = 0
  #delivering = false
  #resuming = false
  /** The application has sent something since a device last brought packets, and since the last resumption. */
  #sent = false
  #stopped = false

  /** @param settle does what may wait until everything has left */
  constructor(clock: Clock, handle: BurstHandler, settle: () => void) {
    this.#clock = clock
    this.#handle = handle
    this.#settle = settle
  }

  /** @param now the time, if it is known: reading the clock costs more than a packet does otherwise */
  enter(now?: number): void {
    if (this.#depth++ !== 0) return
    if (now === undefined) this.now = this.#clock.now()
    else {
      this.#sent = false
      if (now > this.now) this.now = now
    }
  }

  /** For what a program asks outside of packet processing: the time since the last of it counts. */
  readClock(): void {
    if (this.#depth === 0) this.now = this.#clock.now()
  }

  leave(): void {
    try {
      if (this.#depth === 1) {
        this.#run()
        this.#settle()
      }
    } finally {
      this.#depth--
    }
    if (this.#depth === 0) this.#deliverEvents()
  }

  /**
   * Ends what the application sends. The first thing that it sends leaves at once, so that an answer is not late; what
   * follows in the same turn of the event loop leaves together at the end of it, in bursts.
   */
  leaveSoon(): void {
    if (this.#depth > 1) return this.leave()
    if (this.#sent) {
      this.#depth--
      return this.#resumeSoon()
    }
    this.#sent = true
    this.leave()
  }

  /** What the application sends now does not leave before the turn of the event loop is over, see {@link leaveSoon}. */
  get sendsLater(): boolean {
    return this.#sent
  }

  /** Packets wait in the device's transmit queue. */
  transmitPending(device: NetDevice): void {
    this.#transmit.push(device)
    if (this.#depth === 0) this.#resumeSoon()
  }

  /** The device has packets to be polled for. */
  pollPending(device: NetDevice): void {
    if (!this.#poll.includes(device)) this.#poll.push(device)
    if (this.#depth === 0) this.#resumeSoon()
  }

  /** Has a packet received by `device` once the work at hand is done; `false`: too many wait, it is the caller's. */
  receiveLater(packet: Packet, device: NetDevice): boolean {
    packet.device = device
    if (!this.#later.push(packet)) return false
    if (this.#depth === 0) this.#resumeSoon()
    return true
  }

  /** Nothing more is polled from, or sent to, this device. */
  forget(device: NetDevice): void {
    remove(this.#transmit, device)
    remove(this.#poll, device)
  }

  /** `listener.burstProcessed()` is called once, before anything is sent. */
  answerPending(listener: BurstListener): void {
    this.#answers.push(listener)
    if (this.#depth === 0) this.#resumeSoon()
  }

  /** `source.deliverEvents()` is called once, when processing is over. */
  eventPending(source: EventSource): void {
    if (!source.eventsPending) {
      source.eventsPending = true
      this.#events.push(source)
    }
    if (this.#depth === 0) this.#resumeSoon()
  }

  /** Nothing is done from here on: what still waits is handed to `discard`. */
  stop(discard: (packet: Packet) => void): void {
    this.#stopped = true
    this.#transmit.length = 0
    this.#poll.length = 0
    this.#answers.length = 0
    for (let source = this.#events.shift(); source !== null; source = this.#events.shift()) {
      source.eventsPending = false
    }
    for (let packet = this.#later.shift(); packet !== null; packet = this.#later.shift()) discard(packet)
  }

  #run(): void {
    let left = this.budget
    for (;;) {
      this.#flush()
      if (this.#later.length > 0) {
        left -= this.#receiveWaiting()
        continue
      }
      if (this.#poll.length === 0) return
      const device = this.#poll.shift()!
      const link: LinkDevice = device.link
      const burst = this.#burst
      const more = link.poll?.(burst) ?? false
      left -= burst.length
      if (more) this.#poll.push(device)
      if (burst.length > 0) this.#handle(burst, device)
      if (left <= 0 && (this.#poll.length > 0 || this.#transmit.length > 0)) {
        this.#flush()
        this.#resumeSoon()
        return
      }
    }
  }

  /** Answers what has been processed, then sends what waits, device after device; one may be added meanwhile. */
  #flush(): void {
    const answers = this.#answers
    for (let i = 0; i < answers.length; i++) answers[i]!.burstProcessed()
    clearArray(answers)
    const devices = this.#transmit
    for (let i = 0; i < devices.length; i++) devices[i]!.flush()
    clearArray(devices)
  }

  /** One packet at a time: each may have come by another device. */
  #receiveWaiting(): number {
    const packet = this.#later.shift()!
    this.#burst.push(packet)
    this.#handle(this.#burst, packet.device as NetDevice)
    return 1
  }

  #deliverEvents(): void {
    // The application may do things that bring more events: they wait until it is back, then it is their turn.
    if (this.#delivering || this.#events.length === 0) return
    this.#delivering = true
    this.#clock.telling?.()
    try {
      for (let rounds = 0; rounds < EVENT_ROUNDS; rounds++) {
        const source = this.#events.shift()
        if (source === null) return
        source.eventsPending = false // before it is told: what it brings about puts it behind the others
        source.deliverEvents()
      }
    } finally {
      this.#delivering = false
      if (this.#events.length > 0) this.#resumeSoon() // too many for now, or one of them threw: none is lost
    }
  }

  #resumeSoon(): void {
    if (this.#resuming || this.#stopped) return
    this.#resuming = true
    this.#clock.soon(this.#resume)
  }
}

function remove(list: NetDevice[], device: NetDevice): void {
  const at = list.indexOf(device)
  if (at >= 0) list.splice(at, 1)
}
