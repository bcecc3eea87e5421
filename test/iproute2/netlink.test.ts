import { expect } from 'chai'
import fc from 'fast-check'
import { IdleTun } from '../../lib/device/idle-tun.ts'
import { ip } from '../../lib/iproute2/ip.ts'
import {
  Attributes,
  attribute,
  concat,
  inet,
  MalformedDump,
  MessageType,
  message,
  messages,
  text,
  u8,
  u16,
  u32,
} from '../../lib/iproute2/netlink.ts'
import { Stack } from '../../lib/stack/stack.ts'

const bytes = fc.uint8Array({ maxLength: 40 })
const pairs = fc.uniqueArray(fc.tuple(fc.nat(0x3fff), bytes), { maxLength: 8, selector: ([type]) => type })

describe('netlink messages', () => {
  it('come back as they were written, each part at a multiple of four', () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ type: fc.nat(0xffff), flags: fc.nat(0xffff), attributes: pairs })),
        (list) => {
          const file = concat(
            list.map(({ type, flags, attributes }) =>
              message(type, flags, [
                Uint8Array.of(1, 2, 3, 4),
                ...attributes.map(([of, value]) => attribute(of, value)),
              ]),
            ),
          )
          expect(file.length % 4).to.equal(0)
          const read = [...messages(file)]
          expect(read.map(({ type, flags }) => [type, flags])).to.deep.equal(
            list.map(({ type, flags }) => [type, flags]),
          )
          for (const [index, { payload }] of read.entries()) {
            const found = new Attributes(payload, 4)
            const { attributes } = list[index]!
            expect([...found.types]).to.deep.equal(attributes.map(([type]) => type))
            for (const [type, value] of attributes) expect(found.get(type)).to.deep.equal(value)
          }
        },
      ),
    )
  })

  it('hold numbers, addresses and names', () => {
    fc.assert(
      fc.property(
        fc.nat(0xff),
        fc.nat(0xffff),
        fc.integer(),
        fc.string({ unit: 'grapheme' }).map((name) => name.replaceAll('\0', '')),
        (octet, half, number, name) => {
          const read = new Attributes(
            concat([
              attribute(1, u8(octet)),
              attribute(2, u16(half)),
              attribute(3, u32(number)),
              attribute(4, inet(number)),
              attribute(5, text(name)),
              attribute(6, attribute(7, u32(number))),
            ]),
          )
          expect([read.number(1), read.number(2), read.number(3)]).to.deep.equal([octet, half, number >>> 0])
          expect(read.inet(4)).to.equal(number)
          expect(read.text(5)).to.equal(name)
          expect(read.nested(6)!.number(7)).to.equal(number >>> 0)
          expect(read.number(8)).to.equal(undefined)
        },
      ),
    )
  })

  it('that are none end in one kind of error, or in nothing', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (noise) => {
        new Attributes(noise)
        try {
          for (const { payload } of messages(noise)) new Attributes(payload)
        } catch (error) {
          expect(error).to.be.instanceOf(MalformedDump)
        }
      }),
    )
  })
})

describe('a dump that is restored', () => {
  const SUBJECTS = [
    ['route', 0x45311224, MessageType.NEWROUTE, 12],
    ['address', 0x47361222, MessageType.NEWADDR, 8],
    ['rule', 0x71706986, MessageType.NEWRULE, 12],
  ] as const

  function newStack(): Stack {
    const stack = new Stack()
    stack.addDevice(new IdleTun('tun0', true), { up: true })
    ip(stack, 'address add 10.0.0.1/24 dev tun0')
    return stack
  }

  for (const [subject, magic, type, fixed] of SUBJECTS) {
    it(`may hold anything: ${subject}`, async () => {
      await using stack = newStack()
      const header = fc.uint8Array({ minLength: fixed, maxLength: fixed }).map((noise) => {
        noise[0] = 2 // of IPv4
        return noise
      })
      const value = fc.oneof(
        bytes,
        fc.constantFrom(u32(1), u32(2), u32(9), inet(0x0a000000), inet(0x0a000001), u8(1), text('tun0')),
      )
      const attributes = fc.array(fc.tuple(fc.nat(32), value), { maxLength: 8 })
      const one = fc.tuple(header, attributes, fc.constantFrom(type, type, type, 20, 24, 32, 99))
      fc.assert(
        fc.property(fc.array(one, { maxLength: 4 }), (list) => {
          const file = concat([
            u32(magic),
            ...list.map(([head, parts, kind]) =>
              message(kind, 0, [head, ...parts.map(([of, content]) => attribute(of, content))]),
            ),
          ])
          for (const verb of ['restore', 'showdump']) {
            const { status } = ip(stack, `${subject} ${verb}`, { input: file })
            expect([0, 2, 255]).to.include(status)
          }
        }),
        { numRuns: 300 },
      )
      ip(stack, 'route show table all')
      ip(stack, 'rule show')
    })
  }

  it('makes what was saved', async () => {
    await using stack = newStack()
    for (const command of ['route add 20/8 via 10.0.0.9 mtu 1400 metric 7', 'rule add from 20/8 table 7']) {
      expect(ip(stack, command).stderr).to.equal('')
    }
    const saved = ip(stack, 'route save')
    const shown = ip(stack, 'route show').stdout
    expect(saved.stdout).to.equal('')
    await using second = newStack()
    expect(ip(second, 'route restore', { input: saved.bytes! }).status).to.equal(0)
    expect(ip(second, 'route show').stdout).to.equal(shown)
    expect(ip(second, 'route showdump', { input: saved.bytes! }).stdout).to.equal(shown)
    expect(ip(second, 'rule restore', { input: saved.bytes! })).to.deep.equal({
      stdout: '',
      stderr: 'Magic mismatch (1 elems, 45311224 magic)\n',
      status: 255,
    })
    expect(ip(second, 'route restore').stderr).to.equal('Magic mismatch (0 elems, 0 magic)\n')
  })
})
