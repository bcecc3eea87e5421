/** The packet scripts of this folder, and that a script which the stack does not keep to fails. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'
import fc from 'fast-check'
import { NotPlayable } from './not-playable.ts'
import { Player } from './play.ts'
import { parseScript, ScriptError } from './script.ts'

const FOLDER = join(import.meta.dirname, 'scripts')

const play = (text: string): Promise<void> => new Player(parseScript(text)).play()

async function failure(text: string): Promise<Error> {
  try {
    await play(text)
  } catch (error) {
    return error as Error
  }
  throw new Error('it was kept to')
}

/** A connection that is open at 0.1 s, as descriptor 4, and what follows. */
const opened = (rest: string): string => `
    0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
   +0 bind(3, ..., ...) = 0
   +0 listen(3, 1) = 0
   +0 < S 0:0(0) win 32792 <mss 1000,sackOK,nop,nop,nop,wscale 7>
   +0 > S. 0:0(0) ack 1 <mss 1460,nop,nop,sackOK,nop,wscale 10>
  +.1 < . 1:1(0) ack 1 win 257
   +0 accept(3, ..., ...) = 4
${rest}`

describe('packet scripts', () => {
  for (const file of readdirSync(FOLDER).filter((name) => name.endsWith('.pkt'))) {
    it(file, () => play(readFileSync(join(FOLDER, file), 'utf8')))
  }

  describe('what the stack does not do', () => {
    const cases: Readonly<Record<string, readonly [script: string, message: RegExp]>> = {
      'another length': [
        '+0 write(4, ..., 10) = 10\n+0 > P. 1:21(20) ack 1',
        /^line 10: nothing was sent; must be P\. 11:21\(10\) ack 1 <.*> \(10 bytes of it were\)$|^line 10: /,
      ],
      'other flags': [
        '+0 write(4, ..., 10) = 10\n+0 > . 1:11(10) ack 1',
        /^line 10: another flags: sent P\. 1:11/,
      ],
      'other options': ['+0 write(4, ..., 10) = 10\n+0 > P. 1:11(10) ack 1 <nop,nop>', /another options/],
      'another window': ['+0 write(4, ..., 10) = 10\n+0 > P. 1:11(10) ack 1 win 7', /another window/],
      'another acknowledgment': [
        '+0 < P. 1:11(10) ack 1 win 257\n+0 > . 1:1(0) ack 10',
        /another acknowledgment/,
      ],
      nothing: ['+0 > . 1:1(0) ack 1', /^line 9: nothing was sent; must be \. 1:1\(0\) ack 1$/],
      'too late': [
        '+0 write(4, ..., 10) = 10\n+0 > P. 1:11(10) ack 1\n+.25 > P. 1:11(10) ack 1',
        /^line 11: nothing was sent/,
      ],
      'too early': [
        '+0 write(4, ..., 10) = 10\n+.1 > P. 1:11(10) ack 1',
        /^line 10: sent at 0\.100000, not at 0\.200000$/,
      ],
      'another result': [
        '+0 < P. 1:11(10) ack 1 win 257\n+0 read(4, ..., 100) = 9',
        /read\(\) gives 10; must give 9/,
      ],
      'a call that waits': ['+0 read(4, ..., 100) = 9', /^line 9: read\(\) goes on; must give 9$/],
      'a call that waits longer': [
        '+0...0.1 read(4, ..., 100) = 10\n+.3 < P. 1:11(10) ack 1 win 257',
        /^read\(\) goes on|read\(\) was over at/,
      ],
      'another error': [
        '+0 < R. 1:1(0) ack 1 win 257\n+0 read(4, ..., 100) = -1 ETIMEDOUT (Connection timed out)',
        /read\(\) gives -1 ECONNRESET; must give -1 ETIMEDOUT/,
      ],
      'another state': ['+0 %{ assert 11 <= tcpi_snd_cwnd <= 20, tcpi_snd_cwnd }%', /tcpi_snd_cwnd is 10/],
      'another count': [
        '+0 `nstat | grep TcpExtBeyondWindow | grep -q " 2 "`',
        /TcpExtBeyondWindow is 0; must be 2/,
      ],
    }
    for (const [name, [script, message]] of Object.entries(cases)) {
      it(name, async () => {
        expect((await failure(opened(script))).message).to.match(message)
      })
    }
  })

  it('what is not understood is not played', async () => {
    for (const rest of [
      '+0 epoll_create(1) = 5',
      '+0 setsockopt(4, SOL_TCP, TCP_MD5SIG, [1], 4) = 0',
      '+0 send(4, ..., 40, MSG_MORE) = 40',
      '+0 `tc qdisc replace dev tun0 root fq`',
      '+0 %{ assert tcpi_fastopen_client_fail == 0, 1 }%',
      '+0 %{ print(tcpi_rtt) }%',
    ]) {
      expect(await failure(opened(rest)), rest).to.be.instanceOf(NotPlayable)
    }
    expect(await failure('--ip_version=ipv6\n')).to.be.instanceOf(NotPlayable)
    expect(await failure('--wscale=3\n')).to.be.instanceOf(NotPlayable)
  })

  it('what is no script is an error that names the line', () => {
    for (const [text, line] of [
      ['\n+0 > nothing', 2],
      ['+0 < S 0:1(0) win 4', 1],
      ['+0 < S 0:0(0) win 4 <mss 4,md5 deadbeef>', 1],
      ['+0 close(3)', 1],
      ['nonsense', 1],
      ['`sysctl -q a=b', 1],
      ['-- x', 1],
    ] as const) {
      expect(() => parseScript(text), text)
        .to.throw(ScriptError)
        .with.property('line', line)
    }
  })

  it('property: any text is a script or an error', () => {
    const word = fc.constantFrom(
      '+0',
      '.1',
      '*',
      '+.1~+.2',
      '+0...0.1',
      '<',
      '>',
      'S',
      'P.',
      '1:1(0)',
      'ack 1',
      'win 5',
      '<mss 4>',
      '<...>',
      '`',
      '%{',
      '}%',
      'read(3, ..., 4) = 4',
      '(',
      ')',
      '\n',
      '//',
      '/*',
      '*/',
      '--mss=4',
      'close(',
      'nop',
      '= ?',
    )
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.array(word, { maxLength: 30 }).map((words) => words.join(' ')),
        ),
        (text) => {
          try {
            parseScript(text)
          } catch (error) {
            expect(error).to.be.instanceOf(ScriptError)
          }
        },
      ),
      { numRuns: 2000 },
    )
  })
})
