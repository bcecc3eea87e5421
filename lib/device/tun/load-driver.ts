/**
 * Which way to the kernel's TUN driver there is on this machine: the native addon, prebuilt or compiled, or else
 * `koffi`, which needs no compiler.
 */
import { TunstackError } from '../../errors.ts'
import { loadAddon } from './addon.ts'
import type { TunDriver } from './driver.ts'
import { loadKoffiDriver } from './koffi-driver.ts'

let told = false

/**
 * The driver to use. The first time that it is koffi's for want of anything else, the process is warned
 * (`TUNSTACK_KOFFI`).
 * @throws TunstackError as {@link loadAddon}, or `ERR_TUN_NO_KOFFI` if it was asked for by name
 */
export function loadDriver(wanted?: 'addon' | 'koffi'): TunDriver {
  if (wanted === 'koffi') return loadKoffiDriver()
  if (wanted === 'addon') return loadAddon()
  try {
    return loadAddon()
  } catch (error) {
    const { code } = error as TunstackError
    if (code !== 'ERR_TUN_NO_COMPILER' && code !== 'ERR_TUN_NO_ADDON') throw error
    return insteadOfAddon(error as TunstackError)
  }
}

function insteadOfAddon(missing: TunstackError): TunDriver {
  let driver: TunDriver
  try {
    driver = loadKoffiDriver()
  } catch (cause) {
    const { code, message, value } = missing
    const text = `${message}. Or do without: ${(cause as TunstackError).message}`
    throw new TunstackError(code, text, { value, cause: missing })
  }
  if (!told) {
    told = true
    process.emitWarning('no native TUN addon on this machine: using koffi, which is slower', {
      code: 'TUNSTACK_KOFFI',
      detail: missing.message,
    })
  }
  return driver
}
