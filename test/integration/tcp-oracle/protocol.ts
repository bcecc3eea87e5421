/** What the comparison and the program in the namespace say to one another. */

export interface Order {
  packets: Uint8Array[]
  /** Milliseconds to wait before what came back is told. */
  wait: number
}

export interface Answer {
  received: Uint8Array[]
}
