/**
 * Types for `buffer-layout` 1.2.2, which publishes none: what `wire/` uses of it. Values are encoded to and decoded
 * from plain objects; `T` is the type of that object.
 */
declare module 'buffer-layout' {
  class Layout<T> {
    /** Bytes. */
    readonly span: number
    readonly property: string | undefined
    decode(bytes: Uint8Array, offset?: number): T
    encode(value: T, bytes: Uint8Array, offset?: number): number
  }

  /** Unsigned, network order, 1…6 bytes. */
  class UIntBE extends Layout<number> {
    constructor(span: number, property?: string)
  }

  /** Signed, network order, 1…6 bytes. */
  class IntBE extends Layout<number> {
    constructor(span: number, property?: string)
  }

  class Structure<T> extends Layout<T> {
    constructor(fields: Layout<unknown>[], property?: string)
    /** Offset in bytes from the start of the structure. */
    offsetOf(property: keyof T & string): number
  }

  /** Fields within one unsigned word, from its most significant bit down if `msb`. */
  class BitStructure<T> extends Layout<T> {
    constructor(word: UIntBE, msb: boolean, property?: string)
    addField(bits: number, property: keyof T & string): void
  }

  const layout: {
    UIntBE: typeof UIntBE
    IntBE: typeof IntBE
    Structure: typeof Structure
    BitStructure: typeof BitStructure
  }

  export type { BitStructure, IntBE, Layout, Structure, UIntBE }
  export default layout
}
