/** What the driver knows an arena by; each arena is registered once, when its first packet passes. */
import type { Arena } from '../../packet/slab.ts'
import type { TunDriver } from './driver.ts'

export function arenaId(driver: TunDriver, arena: Arena): number {
  if (arena.driverHandle < 0) arena.driverHandle = driver.registerArena(arena.bytes.buffer)
  return arena.driverHandle
}
