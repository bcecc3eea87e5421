/**
 * How headers are declared: once, as a structure of `buffer-layout`, from which hot code takes field offsets and
 * cold code decodes and encodes. That library reads and writes through methods of Node's Buffer; the declarations
 * here use fields in network order only, so that four of those methods, on a subclass of `Uint8Array`, are enough
 * and the core stays free of Buffer.
 */

import type { BitStructure, IntBE, Layout, Structure, UIntBE } from 'buffer-layout'
import layout from 'buffer-layout'

/** A view of bytes with the methods that `buffer-layout` calls. `size` is 1…6 bytes. */
class LayoutBytes extends Uint8Array {
  readUIntBE(offset: number, size: number): number {
    let value = 0
    for (let i = 0; i < size; i++) value = value * 256 + this[offset + i]!
    return value
  }

  readIntBE(offset: number, size: number): number {
    const value = this.readUIntBE(offset, size)
    return this[offset]! < 128 ? value : value - 256 ** size
  }

  writeUIntBE(value: number, offset: number, size: number): void {
    let rest = value
    for (let i = size - 1; i >= 0; i--) {
      this[offset + i] = rest % 256
      rest = Math.floor(rest / 256)
    }
  }

  writeIntBE(value: number, offset: number, size: number): void {
    this.writeUIntBE(value < 0 ? value + 256 ** size : value, offset, size)
  }
}

/** The same bytes, for `decode` and `encode` of a structure. */
export function layoutBytes(bytes: Uint8Array): Uint8Array {
  return new LayoutBytes(bytes.buffer as ArrayBuffer, bytes.byteOffset, bytes.byteLength)
}

export function u8(property: string): UIntBE {
  return new layout.UIntBE(1, property)
}

export function u16(property: string): UIntBE {
  return new layout.UIntBE(2, property)
}

export function u32(property: string): UIntBE {
  return new layout.UIntBE(4, property)
}

/** An IPv4 address, signed as everywhere in the stack. */
export function ipv4Address(property: string): IntBE {
  return new layout.IntBE(4, property)
}

/** `fields` are [name, bits], the most significant first; together they fill `bytes` bytes. */
export function bitFields<T>(
  bytes: number,
  property: string,
  fields: readonly (readonly [keyof T & string, number])[],
): BitStructure<T> {
  const structure = new layout.BitStructure<T>(new layout.UIntBE(bytes), true, property)
  for (const [name, bits] of fields) structure.addField(bits, name)
  return structure
}

export function structure<T>(fields: readonly Layout<unknown>[]): Structure<T> {
  return new layout.Structure<T>([...fields])
}
