/** What the test and the program that holds the kernel's TUN devices say to each other, and `virtio_net_hdr`. */

export const VNET_HEADER = 10
export const NEEDS_CSUM = 1
export const VnetGso = { NONE: 0, TCPV4: 1, UDP_L4: 5, ECN: 0x80 } as const
/** `TUN_F_*`. */
export const TunOffload = { CSUM: 1, TSO4: 2, TSO6: 4, TSO_ECN: 8, USO4: 0x20, USO6: 0x40 } as const

/** `struct virtio_net_hdr`. */
export interface VnetHeader {
  flags: number
  gsoType: number
  headerLength: number
  gsoSize: number
  checksumStart: number
  checksumOffset: number
}

export interface Frame {
  /** `null` on a device without it. */
  vnet: VnetHeader | null
  bytes: Uint8Array<ArrayBuffer>
}

/** How the router is made; by the command line, as JSON. */
export interface RouterSetup {
  /** MTU of the device that packets leave by. */
  mtu: number
  /** `TUN_F_*` of that device; -1: no `virtio_net_hdr`. */
  offload: number
  /** A compiled napi-tun.c: packets come in by it, in bursts that the kernel merges, and without `virtio_net_hdr`. */
  napi?: string
}

export interface RouterRequest {
  frames: Frame[]
}

export interface RouterResponse {
  /** Errno of each write that failed, negative. */
  refused: number[]
  /** What left by `out0`, and what came back by `in0`. */
  out: Frame[]
  back: Frame[]
  /** Counters that moved. */
  counters: Record<string, number>
  /** `tx_dropped` of `out0`. */
  dropped: number
}

export function encodeVnet(header: VnetHeader, target: Uint8Array): void {
  const view = new DataView(target.buffer, target.byteOffset)
  view.setUint8(0, header.flags)
  view.setUint8(1, header.gsoType)
  view.setUint16(2, header.headerLength, true)
  view.setUint16(4, header.gsoSize, true)
  view.setUint16(6, header.checksumStart, true)
  view.setUint16(8, header.checksumOffset, true)
}

export function decodeVnet(bytes: Uint8Array): VnetHeader {
  const view = new DataView(bytes.buffer, bytes.byteOffset)
  return {
    flags: view.getUint8(0),
    gsoType: view.getUint8(1),
    headerLength: view.getUint16(2, true),
    gsoSize: view.getUint16(4, true),
    checksumStart: view.getUint16(6, true),
    checksumOffset: view.getUint16(8, true),
  }
}
