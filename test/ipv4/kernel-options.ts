/**
 * How Linux 6.18 answered and forwarded packets with IP options: raw packets sent from 10.0.0.1 in a network namespace
 * through a router (10.0.0.9, 10.0.3.9) to 10.0.3.2, captured with tcpdump on both links. All values are the option
 * bytes of a header in hex.
 */

export interface KernelAnswer {
  /** Pointer of the Parameter Problem that was the answer. */
  pointer?: number
  /** Options of the echo reply. */
  reply?: string
  /** Options of the ICMP error (to UDP for a closed port, or Parameter Problem), and those of its quote. */
  error?: string
  quoted?: string
}

export interface KernelOptions {
  name: string
  sent: string
  /** What 10.0.0.9, the router itself, answered; nothing if it dropped the packet silently. */
  near: KernelAnswer
  /** As the router sent it on to 10.0.3.2. */
  forwarded?: string
  /** What 10.0.3.2 answered. */
  far?: KernelAnswer
  /** That echo reply as the router brought it back to 10.0.0.1. */
  back?: string
}

export const kernelOptions: readonly KernelOptions[] = [
  {
    name: 'rr-empty3',
    sent: '070f0400000000000000000000000001',
    near: {
      reply: '070f0c0a0000090a0000090000000000',
      error: '070f0c0a0000090a0000090000000000',
      quoted: '070f080a000009000000000000000001',
    },
    forwarded: '070f080a000309000000000000000001',
    far: {
      reply: '070f100a0003090a0003020a00030200',
      error: '070f100a0003090a0003020a00030200',
      quoted: '070f0c0a0003090a0003020000000001',
    },
    back: '070f100a0003090a0003020a00030200',
  },
  {
    name: 'rr-first-set',
    sent: '070f080a000001000000000000000001',
    near: {
      reply: '070f100a0000010a0000090a00000900',
      error: '070f100a0000010a0000090a00000900',
      quoted: '070f0c0a0000010a0000090000000001',
    },
    forwarded: '070f0c0a0000010a0003090000000001',
    far: {
      reply: '070f100a0000010a0003090a00030200',
      error: '070f100a0000010a0003090a00030200',
      quoted: '070f100a0000010a0003090a00030201',
    },
    back: '070f100a0000010a0003090a00030200',
  },
  {
    name: 'rr-full',
    sent: '070f100a0000010a0000010a00000101',
    near: {
      reply: '070f100a0000010a0000010a00000100',
      error: '070f100a0000010a0000010a00000100',
      quoted: '070f100a0000010a0000010a00000101',
    },
    forwarded: '070f100a0000010a0000010a00000101',
    far: {
      reply: '070f100a0000010a0000010a00000100',
      error: '070f100a0000010a0000010a00000100',
      quoted: '070f100a0000010a0000010a00000101',
    },
    back: '070f100a0000010a0000010a00000100',
  },
  {
    name: 'rr-last-slot',
    sent: '070f0c0a0000010a0000010000000001',
    near: {
      reply: '070f100a0000010a0000010a00000900',
      error: '070f100a0000010a0000010a00000900',
      quoted: '070f100a0000010a0000010a00000901',
    },
    forwarded: '070f100a0000010a0000010a00030901',
    far: {
      reply: '070f100a0000010a0000010a00030900',
      error: '070f100a0000010a0000010a00030900',
      quoted: '070f100a0000010a0000010a00030901',
    },
    back: '070f100a0000010a0000010a00030900',
  },
  {
    name: 'rr-ptr3',
    sent: '070f0300000000000000000000000001',
    near: { pointer: 22, error: '', quoted: '070f0300000000000000000000000001' },
  },
  {
    name: 'rr-ptr-misaligned',
    sent: '070f0e00000000000000000000000001',
    near: { pointer: 22, error: '', quoted: '070f0e00000000000000000000000001' },
  },
  {
    name: 'rr-ptr5',
    sent: '070f0500000000000000000000000001',
    near: {
      reply: '070f0d000a0000090a00000900000000',
      error: '070f0d000a0000090a00000900000000',
      quoted: '070f09000a0000090000000000000001',
    },
    forwarded: '070f09000a0003090000000000000001',
    far: {},
  },
  { name: 'rr-len2', sent: '07020101', near: { pointer: 21, error: '', quoted: '07020101' } },
  {
    name: 'rr-len3',
    sent: '07030401',
    near: { reply: '07030400', error: '07030400', quoted: '07030401' },
    forwarded: '07030401',
    far: { reply: '07030400', error: '07030400', quoted: '07030401' },
    back: '07030400',
  },
  {
    name: 'rr-twice',
    sent: '07070400000000070704000000000101',
    near: { pointer: 27, error: '0707080a00000900', quoted: '0707080a000009070704000000000101' },
  },
  {
    name: 'ts-only',
    sent: '4414050000000000000000000000000000000000',
    near: {
      reply: '44140d0000b776f500b776f50000000000000000',
      error: '44140d0000b7770000b777000000000000000000',
      quoted: '4414090000b77700000000000000000000000000',
    },
    forwarded: '4414090000b7770a000000000000000000000000',
    far: {
      reply: '4414110000b7770a00b7770a00b7770a00000000',
      error: '4414110000b7771400b7771400b7771400000000',
      quoted: '44140d0000b7771400b777140000000000000000',
    },
    back: '4414150000b7770a00b7770a00b7770a00b7770a',
  },
  {
    name: 'ts-only-ptr9',
    sent: '4414090000000001000000000000000000000000',
    near: {
      reply: '441411000000000100b7771e00b7771e00000000',
      error: '441411000000000100b7772900b7772900000000',
      quoted: '44140d000000000100b777290000000000000000',
    },
    forwarded: '44140d000000000100b777330000000000000000',
    far: {
      reply: '441415000000000100b7773300b7773300b77733',
      error: '441415000000000100b7773d00b7773d00b7773d',
      quoted: '441411000000000100b7773d00b7773d00000000',
    },
    back: '441415100000000100b7773300b7773300b77733',
  },
  {
    name: 'ts-addr',
    sent: '4414050100000000000000000000000000000000',
    near: {
      reply: '441415010a00000900b777480a00000900b77748',
      error: '441415010a00000900b777520a00000900b77752',
      quoted: '44140d010a00000900b777520000000000000000',
    },
    forwarded: '44140d010a00000900b7775c0000000000000000',
    far: {
      reply: '441415010a00000900b7775c0a00030200b7775c',
      error: '441415010a00000900b777660a00030200b77767',
      quoted: '441415010a00000900b777660a00030200b77767',
    },
    back: '441415110a00000900b7775c0a00030200b7775c',
  },
  {
    name: 'ts-addr-last',
    sent: '44140d010a0000010000000b0000000000000000',
    near: {
      reply: '441415010a0000010000000b0a00000900b77771',
      error: '441415010a0000010000000b0a00000900b7777b',
      quoted: '441415010a0000010000000b0a00000900b7777b',
    },
    forwarded: '441415010a0000010000000b0a00000900b77785',
    far: {
      reply: '441415110a0000010000000b0a00000900b77785',
      error: '441415110a0000010000000b0a00000900b7778f',
      quoted: '441415110a0000010000000b0a00000900b7778f',
    },
    back: '441415210a0000010000000b0a00000900b77785',
  },
  {
    name: 'ts-prespec-hit',
    sent: '441405030a000009000000000a00030200000000',
    near: {
      reply: '44140d030a00000900b7779a0a00030200000000',
      error: '44140d030a00000900b777a40a00030200000000',
      quoted: '44140d030a00000900b777a40a00030200000000',
    },
    forwarded: '44140d030a00000900b777ae0a00030200000000',
    far: {
      reply: '441415030a00000900b777ae0a00030200b777ae',
      error: '441415030a00000900b777b80a00030200b777b8',
      quoted: '441415030a00000900b777b80a00030200b777b8',
    },
    back: '441415030a00000900b777ae0a00030200b777ae',
  },
  {
    name: 'ts-prespec-both-b',
    sent: '441405030a000302000000000a00030200000000',
    near: {
      reply: '441405030a000302000000000a00030200000000',
      error: '441405030a000302000000000a00030200000000',
      quoted: '441405030a000302000000000a00030200000000',
    },
    forwarded: '441405030a000302000000000a00030200000000',
    far: {
      reply: '441415030a00030200b777d70a00030200b777d7',
      error: '441415030a00030200b777e10a00030200b777e1',
      quoted: '44140d030a00030200b777e10a00030200000000',
    },
    back: '441415030a00030200b777d70a00030200b777d7',
  },
  {
    name: 'ts-prespec-both-r',
    sent: '441405030a000009000000000a00000900000000',
    near: {
      reply: '441415030a00000900b777eb0a00000900b777eb',
      error: '441415030a00000900b777f50a00000900b777f5',
      quoted: '44140d030a00000900b777f50a00000900000000',
    },
    forwarded: '44140d030a00000900b777ff0a00000900000000',
    far: {
      reply: '44140d030a00000900b777ff0a00000900000000',
      error: '44140d030a00000900b7780a0a00000900000000',
      quoted: '44140d030a00000900b7780a0a00000900000000',
    },
    back: '441415030a00000900b777ff0a00000900b777ff',
  },
  {
    name: 'ts-prespec-miss',
    sent: '441405030a00004d000000000a00030200000000',
    near: {
      reply: '441405030a00004d000000000a00030200000000',
      error: '441405030a00004d000000000a00030200000000',
      quoted: '441405030a00004d000000000a00030200000000',
    },
    forwarded: '441405030a00004d000000000a00030200000000',
    far: {
      reply: '441405030a00004d000000000a00030200000000',
      error: '441405030a00004d000000000a00030200000000',
      quoted: '441405030a00004d000000000a00030200000000',
    },
    back: '441405030a00004d000000000a00030200000000',
  },
  {
    name: 'ts-full',
    sent: '4408110000000001',
    near: { reply: '4408111000000001', error: '4408111000000001', quoted: '4408111000000001' },
    forwarded: '4408111000000001',
    far: { reply: '4408112000000001', error: '4408112000000001', quoted: '4408112000000001' },
    back: '4408113000000001',
  },
  {
    name: 'ts-full-ok',
    sent: '4408090000000001',
    near: { reply: '4408091000000001', error: '4408091000000001', quoted: '4408091000000001' },
    forwarded: '4408091000000001',
    far: { reply: '4408092000000001', error: '4408092000000001', quoted: '4408092000000001' },
    back: '4408093000000001',
  },
  {
    name: 'ts-overflow15',
    sent: '440809f000000001',
    near: { pointer: 23, error: '', quoted: '440809f000000001' },
  },
  {
    name: 'ts-overflow14',
    sent: '440809e000000001',
    near: { reply: '440809f000000001', error: '440809f000000001', quoted: '440809f000000001' },
    forwarded: '440809f000000001',
    far: { pointer: 23, error: '', quoted: '440809f000000001' },
  },
  { name: 'ts-ptr4', sent: '4408040000000000', near: { pointer: 22, error: '', quoted: '4408040000000000' } },
  { name: 'ts-len3', sent: '44030501', near: { pointer: 21, error: '', quoted: '44030501' } },
  {
    name: 'ts-flag2',
    sent: '4408050200000000',
    near: { reply: '4408050200000000', error: '4408050200000000', quoted: '4408050200000000' },
    forwarded: '4408050200000000',
    far: { reply: '4408050200000000', error: '4408050200000000', quoted: '4408050200000000' },
    back: '4408050200000000',
  },
  {
    name: 'ts-addr-short',
    sent: '4408050100000000',
    near: { pointer: 22, error: '', quoted: '4408050100000000' },
  },
  {
    name: 'ts-ptr-misaligned',
    sent: '4408070000000000',
    near: { pointer: 22, error: '', quoted: '4408070000000000' },
  },
  {
    name: 'ts-twice',
    sent: '44080500000000004408050000000000',
    near: { pointer: 28, error: '4408090000b779b7', quoted: '4408090000b779b74408050000000000' },
  },
  {
    name: 'ra',
    sent: '94040000',
    near: { reply: '', error: '', quoted: '94040000' },
    forwarded: '94040000',
    far: { reply: '', error: '', quoted: '94040000' },
    back: '',
  },
  {
    name: 'ra-value',
    sent: '94040001',
    near: { reply: '', error: '', quoted: '94040001' },
    forwarded: '94040001',
    far: { reply: '', error: '', quoted: '94040001' },
    back: '',
  },
  { name: 'ra-short', sent: '94020101', near: { pointer: 21, error: '', quoted: '94020101' } },
  {
    name: 'unknown-copied',
    sent: '9e040000',
    near: { reply: '', error: '', quoted: '9e040000' },
    forwarded: '9e040000',
    far: { reply: '', error: '', quoted: '9e040000' },
    back: '',
  },
  {
    name: 'unknown-uncopied',
    sent: '1e040000',
    near: { reply: '', error: '', quoted: '1e040000' },
    forwarded: '1e040000',
    far: { reply: '', error: '', quoted: '1e040000' },
    back: '',
  },
  { name: 'unknown-len0', sent: '9e000000', near: { pointer: 20, error: '', quoted: '9e000000' } },
  { name: 'unknown-len1', sent: '9e010000', near: { pointer: 20, error: '', quoted: '9e010000' } },
  { name: 'unknown-past', sent: '9e090000', near: { pointer: 20, error: '', quoted: '9e090000' } },
  { name: 'last-byte-type', sent: '0101019e', near: { pointer: 23, error: '', quoted: '0101019e' } },
  {
    name: 'nops',
    sent: '01010101',
    near: { reply: '', error: '', quoted: '01010101' },
    forwarded: '01010101',
    far: { reply: '', error: '', quoted: '01010101' },
    back: '',
  },
  {
    name: 'eol-garbage',
    sent: '00aabbcc',
    near: { reply: '', error: '', quoted: '00000000' },
    forwarded: '00000000',
    far: { reply: '', error: '', quoted: '00000000' },
    back: '',
  },
  { name: 'lsrr', sent: '8307040a00030201', near: {} },
  { name: 'lsrr-done', sent: '8307080a00034d01', near: {} },
  {
    name: 'lsrr-ptr3',
    sent: '8307030a00030201',
    near: { pointer: 22, error: '', quoted: '8307030a00030201' },
  },
  {
    name: 'rr+ts',
    sent: '070b04000000000000000001440c05000000000000000000',
    near: {
      reply: '070b0c0a0000090a000009440c0d0000b77c1300b77c1300',
      error: '070b0c0a0000090a000009440c0d0000b77c1e00b77c1e00',
      quoted: '070b080a0000090000000001440c090000b77c1e00000000',
    },
    forwarded: '070b080a0003090000000001440c090000b77c2800000000',
    far: {
      reply: '070b0c0a0003090a000302440c0d0000b77c2800b77c2800',
      error: '070b0c0a0003090a000302440c0d0000b77c3200b77c3200',
      quoted: '070b0c0a0003090a00030201440c0d0000b77c3200b77c32',
    },
    back: '070b0c0a0003090a000302440c0d1000b77c2800b77c2800',
  },
  {
    name: 'sec',
    sent: '820b00000000000000000001',
    near: { reply: '', error: '', quoted: '820b00000000000000000001' },
    forwarded: '820b00000000000000000001',
    far: { reply: '', error: '', quoted: '820b00000000000000000001' },
    back: '',
  },
  {
    name: 'sid',
    sent: '88040001',
    near: { reply: '', error: '', quoted: '88040001' },
    forwarded: '88040001',
    far: { reply: '', error: '', quoted: '88040001' },
    back: '',
  },
]
