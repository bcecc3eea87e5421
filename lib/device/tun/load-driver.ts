/** Which way to the kernel there is on this machine. */
import { loadAddon } from './addon.ts'
import type { TunDriver } from './driver.ts'

/** @throws TunstackError as {@link loadAddon} */
export function loadDriver(): TunDriver {
  return loadAddon()
}
