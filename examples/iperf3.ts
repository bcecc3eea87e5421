/**
 * iperf3 over the stack: a server and a client that real iperf3 talks to, over TCP and UDP, in both directions, with
 * parallel streams. The stack is behind a TUN device, so that the peer can be the kernel's.
 *
 *     node --import tsx examples/iperf3.ts -s                    and on the machine:  iperf3 -c 10.9.0.2
 *     iperf3 -s                                                  and:  node --import tsx examples/iperf3.ts -c 10.9.0.1
 */
import { parseArgs } from 'node:util'
import { openTun } from '../lib/device/tun/index.ts'
import { Stack } from '../lib/index.ts'
import { parseInteger, runProgram, untilEnd } from './command-line.ts'
import { type ClientOptions, runClient } from './iperf3/client.ts'
import {
  DEFAULT_TCP_LENGTH,
  DEFAULT_UDP_RATE,
  MAX_LENGTH,
  MAX_STREAMS,
  type Parameters,
} from './iperf3/parameters.ts'
import { IperfServer } from './iperf3/server.ts'

const HELP = `Usage: node --import tsx examples/iperf3.ts -s|-c HOST [option…]

  --tun NAME                the TUN device (tunstack0); one that exists is attached to
  --kernel-address A/N      the kernel's side of the link (10.9.0.1/24)
  --address A/N             the stack's side of the link (10.9.0.2/24)
  -p, --port PORT           (5201)
  -i, --interval SECONDS    between reports (1)
  -J, --json                report in JSON
  -s, --server              serve tests
  -1, --one-off             one test, then end
  -c, --client HOST         run a test with a server
  -u, --udp                 UDP; at 1 Mbit/s unless -b says otherwise
  -b, --bitrate N[KMG]      bits per second of each stream; 0: as fast as can be
  -t, --time SECONDS        (10)
  -n, --bytes N[KMG]        send so much, instead of -t
  -k, --blockcount N        send so many blocks, instead of -t
  -l, --length N[KMG]       bytes of a write or a datagram (128K; 1460)
  -P, --parallel N          streams (1)
  -R, --reverse             the server sends
  --bidir                   both send
  -w, --window N[KMG]       socket buffers
  -C, --congestion NAME     congestion control
  -S, --tos N
  -N, --no-delay
  -O, --omit SECONDS        don't count the beginning
  -h, --help                this text`

/** A number with iperf3's suffixes; `kilo` is 1024 for bytes, 1000 for bits. @throws Error */
function parseSize(option: string, text: string, kilo: number): number {
  const match = /^(\d+(?:\.\d+)?)([kmg]?)$/i.exec(text)
  if (match === null)
    throw new Error(`--${option} takes a number such as 100, 10K, 1.5M or 2G; got '${text}'`)
  const power = ['', 'k', 'm', 'g'].indexOf(match[2]!.toLowerCase())
  return Math.floor(Number(match[1]) * kilo ** power)
}

await runProgram(async () => {
  const text = (short?: string) => ({ type: 'string', ...(short === undefined ? {} : { short }) }) as const
  const flag = (short?: string) => ({ type: 'boolean', ...(short === undefined ? {} : { short }) }) as const
  const { values } = parseArgs({
    options: {
      tun: { type: 'string', default: 'tunstack0' },
      'kernel-address': { type: 'string', default: '10.9.0.1/24' },
      address: { type: 'string', default: '10.9.0.2/24' },
      port: text('p'),
      interval: text('i'),
      json: flag('J'),
      server: flag('s'),
      'one-off': flag('1'),
      client: text('c'),
      udp: flag('u'),
      bitrate: text('b'),
      time: text('t'),
      bytes: text('n'),
      blockcount: text('k'),
      length: text('l'),
      parallel: text('P'),
      reverse: flag('R'),
      bidir: flag(),
      window: text('w'),
      congestion: text('C'),
      tos: text('S'),
      'no-delay': flag('N'),
      omit: text('O'),
      help: flag('h'),
    },
  })
  if (values.help === true) return console.log(HELP)
  const { client, udp = false } = values
  if ((values.server === true) === (client !== undefined)) throw new Error('say either -s or -c HOST')
  if (values.reverse === true && values.bidir === true)
    throw new Error('--reverse and --bidir exclude each other')
  if ([values.time, values.bytes, values.blockcount].filter((end) => end !== undefined).length > 1)
    throw new Error('only one of --time, --bytes and --blockcount ends a test')
  const size = (option: 'bytes' | 'length' | 'window' | 'blockcount', missing: number): number =>
    values[option] === undefined ? missing : parseSize(option, values[option], 1024)
  const parameters: Parameters = {
    udp,
    omit: parseInteger('omit', values.omit) ?? 0,
    time: (values.bytes ?? values.blockcount) ? 0 : (parseInteger('time', values.time) ?? 10),
    bytes: size('bytes', 0),
    blocks: size('blockcount', 0),
    parallel: parseInteger('parallel', values.parallel) ?? 1,
    reverse: values.reverse ?? false,
    bidirectional: values.bidir ?? false,
    length: size('length', udp ? 1460 : DEFAULT_TCP_LENGTH),
    rate:
      values.bitrate === undefined
        ? udp
          ? DEFAULT_UDP_RATE
          : 0
        : parseSize('bitrate', values.bitrate, 1000),
    window: size('window', 0),
    tos: parseInteger('tos', values.tos) ?? 0,
    noDelay: values['no-delay'] ?? false,
    congestion: values.congestion ?? '',
    counters64: true,
  }
  if (parameters.parallel < 1 || parameters.parallel > MAX_STREAMS)
    throw new Error(`--parallel takes 1 to ${MAX_STREAMS}`)
  if (parameters.length < (udp ? 16 : 1) || parameters.length > (udp ? 65507 : MAX_LENGTH))
    throw new Error(`--length takes ${udp ? '16 to 65507' : `1 to ${MAX_LENGTH}`} bytes`)
  const interval = parseInteger('interval', values.interval) ?? 1
  if (interval === 0) throw new Error('--interval takes seconds')
  const port = parseInteger('port', values.port) ?? 5201
  const json = values.json ?? false

  await using stack = new Stack()
  const tun = await openTun({ name: values.tun, address: values['kernel-address'] })
  stack.addDevice(tun).addAddress(values.address)
  stack.routes.add(`default via ${values['kernel-address'].replace(/\/.*/, '')} dev ${tun.name}`)
  const failed = new Promise<never>((_, reject) => (tun.onError = reject))
  const options: ClientOptions = { host: client ?? '', port, interval, json }
  const work =
    client === undefined
      ? new IperfServer(stack, { port, interval, json, once: values['one-off'] ?? false }).run()
      : runClient(stack, parameters, options)
  await Promise.race([work, failed, untilEnd(undefined)])
})
