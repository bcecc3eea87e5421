/** Why a configuration was not taken, and where in the document. */
import { type ErrorDetails, TunstackError } from '../errors.ts'

/**
 * - `ERR_CONFIGURATION_INVALID`: a part of the document is missing, unknown or cannot mean anything.
 * - `ERR_CONFIGURATION_VERSION`: it is no such document, or of a version that this release does not know.
 * - `ERR_CONFIGURATION_DEVICE`: the stack has no device of a name that the document configures.
 * - `ERR_CONFIGURATION_REFUSED`: the stack refused a part of it, as the kernel would; see `cause`.
 */
export type ConfigurationErrorCode =
  | 'ERR_CONFIGURATION_INVALID'
  | 'ERR_CONFIGURATION_VERSION'
  | 'ERR_CONFIGURATION_DEVICE'
  | 'ERR_CONFIGURATION_REFUSED'

export class ConfigurationError extends TunstackError {
  /** The part that is wrong: `routes[3].via`, `line 12` of a batch; `''` for the document itself. */
  readonly path: string

  constructor(code: ConfigurationErrorCode, path: string, message: string, details: ErrorDetails = {}) {
    super(code, `${path === '' ? 'the configuration' : path}: ${message}`, details)
    this.path = path
  }
}
