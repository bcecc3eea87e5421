/**
 * `node --import tunstack/register app.js`: the program's network is the process's default stack instead of the
 * kernel's, as its environment says (`TUNSTACK_TUN`, `TUNSTACK_ADDRESS`, …).
 */
import { defaultSockets } from './default-stack.ts'
import { installInPlace } from './in-place.ts'

installInPlace(defaultSockets())
