/** Bytes: encodings, corks, callbacks, pauses, high water marks, `onread`, and how much may be on its way. */
import { once } from 'node:events'
import { closed, listening, pair, pause, type Run, type Scenario } from './scenario.ts'

/** All that comes, with its length and a sum over it; and then the end. */
async function collect(socket: import('node:net').Socket): Promise<Buffer> {
  const chunks: Buffer[] = []
  socket.on('data', (chunk: Buffer) => chunks.push(chunk))
  await once(socket, 'end')
  return Buffer.concat(chunks)
}

const digest = (bytes: Buffer): string => {
  let sum = 0
  for (const byte of bytes) sum = (sum * 31 + byte) % 1_000_003
  return `${bytes.length}/${sum}`
}

const pattern = (length: number): Buffer =>
  Buffer.from(Array.from({ length }, (_, i) => (i * 7 + (i >> 8)) & 0xff))

const ENCODINGS = ['utf8', 'latin1', 'ascii', 'ucs2', 'base64', 'hex', 'binary', 'utf16le'] as const

const SIZES = [0, 1, 511, 512, 513, 1460, 16384, 65535, 65536, 65537, 300_000, 2_000_000]

export const TRANSFER: readonly Scenario[] = [
  ...ENCODINGS.map((encoding) => ({
    name: `text in ${encoding}`,
    run: async (run: Run) => {
      const { client, accepted } = await pair(run)
      const received = collect(accepted)
      const text = encoding === 'hex' ? 'c3a9ff00' : encoding === 'base64' ? 'w6n/AA==' : 'aé€z'
      client.write(text, encoding, () => run.recorder.note('client', 'written', client.bytesWritten))
      client.end(text, encoding)
      run.recorder.note('client', client.bytesWritten)
      const bytes = await received
      run.recorder.note('accepted', bytes, accepted.bytesRead)
    },
  })),
  ...(['utf8', 'hex', 'base64', 'latin1'] as const).map((encoding) => ({
    name: `read in ${encoding}`,
    run: async (run: Run) => {
      const { client, accepted } = await pair(run)
      accepted.setEncoding(encoding)
      run.recorder.socket(accepted, 'accepted')
      client.end(Buffer.from('aé€z', 'utf8'))
      await closed(accepted)
    },
  })),
  ...SIZES.flatMap((size) =>
    (['client', 'accepted'] as const).map((from) => ({
      name: `${size} bytes from ${from}`,
      run: async (run: Run) => {
        const ends = await pair(run)
        const sender = ends[from]
        const receiver = ends[from === 'client' ? 'accepted' : 'client']
        const received = collect(receiver)
        sender.resume()
        sender.end(pattern(size), () => run.recorder.note('sender', 'finished', sender.bytesWritten))
        run.recorder.note('receiver', digest(await received), receiver.bytesRead)
        await closed(sender)
        run.recorder.note('sender', sender.bytesWritten, sender.writableLength)
      },
    })),
  ),
  {
    name: 'corked writes',
    run: async (run) => {
      const { client, accepted } = await pair(run)
      run.recorder.socket(accepted, 'accepted')
      client.cork()
      for (const each of ['a', Buffer.from('b'), 'c']) {
        client.write(each as string, () => run.recorder.note('client', 'written', each, client.bytesWritten))
      }
      run.recorder.note('client', client.writableCorked, client.writableLength, client.bytesWritten)
      client.uncork()
      run.recorder.note('client', client.writableLength, client.bytesWritten)
      client.end()
      await closed(accepted)
    },
  },
  {
    name: 'corked buffers alone',
    run: async (run) => {
      const { client, accepted } = await pair(run)
      run.recorder.socket(accepted, 'accepted')
      client.cork()
      for (let i = 0; i < 5; i++) client.write(Buffer.from([65 + i]))
      process.nextTick(() => client.uncork())
      client.on('finish', () => run.recorder.note('client', 'finish', client.bytesWritten))
      client.end()
      await closed(accepted)
    },
  },
  {
    name: 'what write gives, and callbacks, of small writes',
    run: async (run) => {
      const { client, accepted } = await pair(run)
      accepted.resume()
      for (let i = 0; i < 5; i++) {
        run.recorder.note(
          'client',
          client.write('x', () => run.recorder.note('client', 'written', i)),
        )
      }
      process.nextTick(() => run.recorder.note('client', 'tick'))
      setImmediate(() => run.recorder.note('client', 'immediate'))
      run.recorder.note('client', client.bytesWritten, client.writableLength, client.writableNeedDrain)
      client.end()
      await closed(client)
    },
  },
  {
    name: 'a write past the high water mark, and drain',
    run: async (run) => {
      const { client, accepted } = await pair(run)
      accepted.resume()
      run.recorder.socket(client, 'client')
      run.recorder.note('client', client.write(Buffer.alloc(20_000)), client.writableNeedDrain)
      await pause(10)
      run.recorder.note('client', client.writableLength, client.writableNeedDrain)
    },
  },
  {
    name: 'who reads nothing holds the writer up',
    run: async (run) => {
      const { client, accepted } = await pair(run)
      accepted.pause()
      let written = 0
      const chunk = Buffer.alloc(1 << 20)
      for (let i = 0; i < 16; i++) client.write(chunk, () => written++)
      await pause(100)
      run.recorder.note('client', 'all written', written === 16, client.writableLength > 0)
      let received = 0
      accepted.on('data', ({ length }: Buffer) => {
        received += length
      })
      accepted.resume()
      client.end()
      await once(accepted, 'end')
      run.recorder.note('accepted', received, accepted.bytesRead, client.bytesWritten)
    },
  },
  {
    name: 'paused and resumed',
    run: async (run) => {
      const { client, accepted } = await pair(run)
      run.recorder.socket(accepted, 'accepted')
      accepted.pause()
      client.write('first')
      await pause(10)
      run.recorder.note('accepted', 'paused', accepted.isPaused(), accepted.bytesRead > 0)
      accepted.resume()
      await once(accepted, 'data')
      client.end()
      await closed(accepted)
    },
  },
  {
    name: 'read() by hand',
    run: async (run) => {
      const { client, accepted } = await pair(run)
      client.end('0123456789')
      await once(accepted, 'readable')
      run.recorder.note(
        'accepted',
        accepted.read(3),
        accepted.readableLength,
        accepted.read(100),
        accepted.read(),
      )
      accepted.once('end', () => run.recorder.note('accepted', 'end'))
      accepted.read()
      await closed(accepted)
    },
  },
  {
    name: 'asynchronous iteration',
    run: async (run) => {
      const { client, accepted } = await pair(run)
      client.end('0123456789')
      for await (const chunk of accepted) run.recorder.note('accepted', chunk)
      run.recorder.note('accepted', 'over', accepted.destroyed)
    },
  },
  {
    name: 'pipe to and fro',
    run: async (run) => {
      const { client, accepted } = await pair(run)
      accepted.pipe(accepted)
      const received = collect(client)
      client.end(pattern(200_000))
      run.recorder.note('client', digest(await received))
    },
  },
  ...[false, true].map((fresh) => ({
    name: `onread with ${fresh ? 'a function' : 'a buffer'}`,
    run: async (run: Run) => {
      const buffer = Buffer.alloc(64)
      const seen: Buffer[] = []
      const onread = {
        buffer: fresh ? () => Buffer.alloc(64) : buffer,
        callback: (count: number, bytes: Buffer) => {
          seen.push(Buffer.from(bytes.subarray(0, count)))
          return true
        },
      }
      const { accepted, client } = await pair(run, {}, { onread } as never)
      client.on('data', () => run.recorder.note('client', 'data'))
      accepted.end(pattern(200))
      await once(client, 'end')
      run.recorder.note(
        'client',
        digest(Buffer.concat(seen)),
        seen.map(({ length }) => length).join(),
        client.bytesRead,
      )
    },
  })),
  {
    name: 'onread that pauses',
    run: async (run) => {
      let count = 0
      const onread = {
        buffer: Buffer.alloc(8),
        callback: (n: number) => {
          count += n
          return false
        },
      }
      const { accepted, client } = await pair(run, {}, { onread } as never)
      accepted.end('0123456789abcdef')
      await pause(10)
      run.recorder.note('client', 'paused at', count)
      client.resume()
      await pause(10)
      run.recorder.note('client', 'paused at', count)
    },
  },
  {
    name: 'a socket of its own with pauseOnCreate',
    run: async (run) => {
      const { accepted, client } = await pair(run, { pauseOnConnect: true })
      run.recorder.socket(accepted, 'accepted')
      client.write('x')
      await pause(10)
      run.recorder.note('accepted', accepted.bytesRead, accepted.isPaused())
      accepted.resume()
      await once(accepted, 'data')
    },
  },
  {
    name: 'writes of no length',
    run: async (run) => {
      const { client, accepted } = await pair(run)
      run.recorder.socket(accepted, 'accepted')
      client.write('', () => run.recorder.note('client', 'empty text'))
      client.write(Buffer.alloc(0), () => run.recorder.note('client', 'empty buffer'))
      client.end('', () => run.recorder.note('client', 'ended'))
      await closed(accepted)
    },
  },
  {
    name: 'a Uint8Array and a view of other bytes',
    run: async (run) => {
      const { client, accepted } = await pair(run)
      const received = collect(accepted)
      client.write(new Uint8Array([1, 2, 3]))
      client.end(new Uint8Array([9, 8, 7, 6]).subarray(1, 3))
      run.recorder.note('accepted', [...(await received)].join())
    },
  },
  {
    name: 'what was written may be changed after the callback',
    run: async (run) => {
      const { client, accepted } = await pair(run)
      const received = collect(accepted)
      const bytes = Buffer.alloc(100_000, 1)
      client.write(bytes, () => {
        bytes.fill(2)
        client.end()
      })
      run.recorder.note(
        'accepted',
        (await received).every((byte) => byte === 1),
      )
    },
  },
  {
    name: 'request and answer, a hundred times',
    run: async (run) => {
      const { client, accepted } = await pair(run)
      accepted.on('data', (data: Buffer) => accepted.write(data))
      for (let i = 0; i < 100; i++) {
        client.write(`${i}`)
        const [data] = (await once(client, 'data')) as [Buffer]
        if (i % 10 === 0) run.recorder.note('client', data)
      }
    },
  },
  {
    name: 'a timeout, and activity that puts it off',
    run: async (run) => {
      const { client, accepted } = await pair(run)
      run.recorder.socket(client, 'client')
      client.setTimeout(150, () => run.recorder.note('client', 'callback'))
      run.recorder.note('client', client.timeout)
      await pause(20)
      accepted.write('x')
      await once(client, 'timeout')
      run.recorder.note('client', 'still', client.readyState)
      client.setTimeout(0)
      run.recorder.note('client', client.timeout)
    },
  },
  {
    name: 'a timeout while it is not connected to anything',
    run: async (run) => {
      const socket = run.recorder.socket(new run.net.Socket(), 'client')
      socket.setTimeout(5)
      await pause(20)
      run.recorder.note('client', 'over')
    },
  },
  {
    name: 'options of a connected socket',
    run: async (run) => {
      const { client } = await pair(run, {}, { noDelay: true, keepAlive: true, keepAliveInitialDelay: 3000 })
      run.recorder.note(
        'client',
        client.setNoDelay(false) === client,
        client.setKeepAlive(true, 1000) === client,
      )
      run.recorder.note('client', client.setKeepAlive(false) === client, client.setNoDelay(true) === client)
    },
  },
  {
    name: 'two connections at once to one server',
    run: async (run) => {
      const { port } = await listening(run, {}, (socket) => socket.pipe(socket))
      const results = await Promise.all(
        [1, 2].map(async (n) => {
          const socket = run.net.connect(port, run.family.host)
          run.open.push(socket)
          const received = collect(socket)
          socket.end(pattern(50_000 * n))
          return digest(await received)
        }),
      )
      run.recorder.note('clients', results.join())
    },
  },
]
