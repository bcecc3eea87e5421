/** What may be written to a setting that is a number. */

/** Smallest and largest value that a write may carry. */
export interface SettingRange {
  readonly min: number
  readonly max: number
}
