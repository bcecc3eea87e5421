/** What every way of longest-prefix match is that is compared. */
export interface Candidate {
  /** Prefixes that are held. */
  readonly size: number
  /** Bytes of all arrays, with what updates need. */
  readonly bytes: number
  /** The value of the longest prefix that covers the address, 0 if there is none. */
  find(address: number): number
  /** Enters a prefix with a value other than 0, or gives it another one. */
  set(address: number, length: number, value: number): void
  /** Takes a prefix out that is held. */
  delete(address: number, length: number): void
}
