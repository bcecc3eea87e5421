/**
 * Puts other timers in the place of Node's, for programs that take them from the global object, from `node:timers` or
 * from `node:timers/promises`; and puts Node's back.
 */
import { syncBuiltinESMExports } from 'node:module'
import timers from 'node:timers'
import promises from 'node:timers/promises'
import { TunstackError } from '../../errors.ts'
import type { VirtualTimers } from './virtual-timers.ts'

const NAMES = [
  'setTimeout',
  'setInterval',
  'setImmediate',
  'clearTimeout',
  'clearInterval',
  'clearImmediate',
] as const

const PROMISES = ['setTimeout', 'setInterval', 'setImmediate', 'scheduler'] as const

let installed = false

/** @throws TunstackError `ERR_SIMULATION_TIMERS` if others are there already @returns what undoes it */
export function installTimers(own: VirtualTimers): () => void {
  if (installed) {
    throw new TunstackError(
      'ERR_SIMULATION_TIMERS',
      'the timers of a simulation are in use already: one at a time',
    )
  }
  installed = true
  const undo: (() => void)[] = []
  const put = (target: object, name: string, value: unknown): void => {
    const before = Object.getOwnPropertyDescriptor(target, name)!
    undo.push(() => void Object.defineProperty(target, name, before))
    Object.defineProperty(target, name, { ...dataOf(before), value })
  }
  for (const name of NAMES) {
    put(globalThis, name, own[name])
    put(timers, name, own[name])
  }
  for (const name of PROMISES) put(promises, name, own.promises[name])
  syncBuiltinESMExports()
  let over = false
  return () => {
    if (over) return
    over = true
    installed = false
    for (const each of undo) each()
    syncBuiltinESMExports()
  }
}

function dataOf({ configurable = true, enumerable = true }: PropertyDescriptor): PropertyDescriptor {
  return { configurable, enumerable, writable: true }
}
