import { fileURLToPath } from 'node:url'
import vm from 'node:vm'
import { expect } from 'chai'
import { build } from 'esbuild'
import { samples } from './samples.ts'
import { fromHex } from './surroundings.ts'

const entry = `
  import { emitIpv4Header, formatIpv4Packet, parseIpv4Header } from './ipv4.ts'
  import { emitIcmpv4, icmpv4Length, parseIcmpv4 } from './icmpv4.ts'
  import { emitIpv4Options, parseIpv4Options } from './ipv4-options.ts'

  globalThis.rewrite = (packet) => {
    const header = parseIpv4Header(packet, 0, packet.length)
    const message = parseIcmpv4(packet, header.headerLength, header.totalLength)
    const options = parseIpv4Options(packet, 20, header.headerLength)
    const bytes = new Uint8Array(header.headerLength + icmpv4Length(message))
    emitIpv4Options(options, header.options, 0)
    emitIcmpv4(message, bytes, emitIpv4Header(header, bytes, 0))
    return [bytes, formatIpv4Packet(bytes, 0, bytes.length)]
  }
`

describe('wire, bundled for a browser', () => {
  it('parses, writes and prints in a context without Buffer, process or require', async () => {
    const { outputFiles } = await build({
      stdin: {
        contents: entry,
        resolveDir: fileURLToPath(new URL('../../lib/wire', import.meta.url)),
        loader: 'ts',
      },
      bundle: true,
      write: false,
      platform: 'browser',
      format: 'iife',
      logLevel: 'silent',
    })
    const context = vm.createContext(Object.create(null))
    expect(vm.runInContext('[typeof Buffer, typeof process, typeof require].join()', context)).to.equal(
      'undefined,undefined,undefined',
    )
    vm.runInContext(outputFiles[0]!.text, context)
    let count = 0
    for (const [line, hex] of samples) {
      const packet = fromHex(hex)
      if (!/ICMP (echo|time stamp|\S+ udp port)/.test(line) || (packet[6]! & 0x20) !== 0) continue
      // The context has a Uint8Array of its own.
      context['hex'] = hex
      const [bytes, text] = vm.runInContext(
        'rewrite(Uint8Array.from(hex.match(/../g), (byte) => parseInt(byte, 16)))',
        context,
      ) as [Uint8Array, string]
      expect(Buffer.from(bytes).toString('hex')).to.equal(hex)
      expect(text).to.equal(line)
      count++
    }
    expect(count).to.be.above(8)
  })
})
