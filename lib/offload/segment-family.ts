/** What an address family has to say when a super-segment is cut: all that the segmenter does not know of IP. */
export interface SegmentFamily {
  /**
   * Bytes before the transport header of the packet `bytes[start…end)`; 0 if it is not whole, is a fragment, or
   * carries another protocol: then it can't be cut.
   */
  headerLength(bytes: Uint8Array, start: number, end: number, protocol: number): number
  /** Sum of the pseudo-header for `length` bytes of transport header and payload. */
  pseudoHeaderSum(bytes: Uint8Array, start: number, protocol: number, length: number): number
  /**
   * Makes a copy of the super-segment's header, at `at`, that of a segment of `length` bytes, header included.
   * @param index how many identifications it is after the first: 0 for the first segment
   */
  writeHeader(bytes: Uint8Array, at: number, length: number, index: number): void
}
