/** How long one operation takes, in a loop that is long enough to be timed and has been compiled before. */

export interface Timing {
  /** Milliseconds of the measured loop. */
  milliseconds: number
}

/** Keeps what a measured loop computes from being optimised away. */
export let sink = 0

/** Nanoseconds per operation. `loop` performs `n` operations and gives a number that depends on all of them. */
export function nanoseconds(loop: (n: number) => number, { milliseconds }: Timing): number {
  let n = 16
  const time = (): number => {
    const start = performance.now()
    sink += loop(n)
    return performance.now() - start
  }
  while (time() < milliseconds / 10) n *= 2
  for (let i = 0; i < 3; i++) time()
  n = Math.ceil(n * 10)
  return (time() * 1e6) / n
}
