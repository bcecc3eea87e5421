/**
 * The least value of the last so many seconds, in constant memory: the filter of Kathleen Nichols that Linux uses
 * for the minimum RTT. It keeps the best sample and the best ones after it, three in all, so that when the best is
 * too old a later one takes its place. The answer is never smaller than the true minimum of the window, never older
 * than the window, and never larger than the newest sample.
 */
export class WindowedMin {
  #value0 = Infinity
  #value1 = Infinity
  #value2 = Infinity
  #time0 = 0
  #time1 = 0
  #time2 = 0

  /** Infinity as long as there was no sample. */
  get value(): number {
    return this.#value0
  }

  /** A sample at `time`, no earlier than the last, for a window of `span`; any unit of time will do. */
  add(value: number, time: number, span: number): void {
    if (value <= this.#value0 || time - this.#time2 > span) {
      this.#value0 = this.#value1 = this.#value2 = value
      this.#time0 = this.#time1 = this.#time2 = time
      return
    }
    if (value <= this.#value1) {
      this.#set1(value, time)
      this.#set2(value, time)
    } else if (value <= this.#value2) {
      this.#set2(value, time)
    }
    this.#age(value, time, span)
  }

  #age(value: number, time: number, span: number): void {
    const elapsed = time - this.#time0
    if (elapsed > span) {
      this.#promote(value, time)
      // The second choice may have been as old.
      if (time - this.#time0 > span) this.#promote(value, time)
    } else if (this.#time1 === this.#time0 && elapsed > span / 4) {
      // A quarter of the window without a better second choice: take one from this quarter.
      this.#set1(value, time)
      this.#set2(value, time)
    } else if (this.#time2 === this.#time1 && elapsed > span / 2) {
      this.#set2(value, time)
    }
  }

  #promote(value: number, time: number): void {
    this.#value0 = this.#value1
    this.#time0 = this.#time1
    this.#set1(this.#value2, this.#time2)
    this.#set2(value, time)
  }

  #set1(value: number, time: number): void {
    this.#value1 = value
    this.#time1 = time
  }

  #set2(value: number, time: number): void {
    this.#value2 = value
    this.#time2 = time
  }
}
