/**
 * `tunstack ip` as a program beside `ip` as a program: the same files, the same words, two streams and a status.
 * Needs root and iproute2.
 */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect } from 'chai'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const NAMESPACE = `
for which in all default lo; do echo 1 >/proc/sys/net/ipv6/conf/$which/disable_ipv6 || exit 99; done
ip tuntap add dev tun0 mode tun && ip tuntap add dev tun1 mode tun || exit 99
exec ip "$@"
`

const SCRIPT = `# what a router has
link set lo up
link set tun0 up mtu 1400
address add 10.5.0.1/24 dev tun0 brd +

route add 10.9.0.0/16 via 10.5.0.3 \\
  proto static metric 5
route add 10.9.0.0/16 via 10.5.0.4 metric 5   # there is one
route get 10.9.1.1
bogus
rule add from 10.9.0.0/16 table 100 priority 50
rule
route show table all
address
`

describe('the tunstack command beside ip', function () {
  this.timeout(60_000)
  let folder: string
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'tunstack-ip-'))
    writeFileSync(join(folder, 'script'), SCRIPT)
    writeFileSync(join(folder, 'ends'), 'route bogus\nlink\n')
  })
  after(() => rmSync(folder, { recursive: true, force: true }))

  for (const args of [
    ['-force', '-batch', 'script'],
    ['-batch', 'script'],
    ['-force', '-b', '-'],
    ['-j', '-p', '-force', '-batch', 'script'],
    ['-b', 'ends'],
    ['-batch', 'missing'],
    ['-batch', '.'],
    ['link', 'show'],
    ['route', 'get', '127.0.0.1'],
    ['route', 'save'],
    ['route', 'restore'],
    ['address', 'showdump'],
    ['nexthop', 'add', 'id', '1', 'dev', 'lo'],
    ['-V'],
    ['-bogus'],
  ]) {
    it(`answers ip ${args.join(' ')} alike`, () => {
      const options = { cwd: folder, input: SCRIPT, encoding: 'utf8' } as const
      const theirs = spawnSync('unshare', ['--net', 'sh', '-c', NAMESPACE, 'sh', ...args], options)
      expect(theirs.status).not.to.equal(99)
      const program = [
        '--import',
        join(ROOT, 'node_modules/tsx/dist/loader.mjs'),
        join(ROOT, 'lib/cli/tunstack.ts'),
      ]
      const own = spawnSync(process.execPath, [...program, 'ip', ...args], options)
      expect({ stdout: own.stdout, stderr: own.stderr, status: own.status }).to.deep.equal({
        stdout: theirs.stdout,
        stderr: theirs.stderr,
        status: theirs.status,
      })
    })
  }

  it('keeps the order of both streams in one pipe', () => {
    const own = spawnSync(
      'sh',
      ['-c', `exec "$0" --import tsx lib/cli/tunstack.ts ip -force -b - 2>&1`, process.execPath],
      {
        cwd: ROOT,
        input: 'rule\nbogus\nlink show lo\n',
        encoding: 'utf8',
      },
    )
    const at = (text: string): number => own.stdout.indexOf(text)
    expect(at('32767:')).to.be.lessThan(at('Object "bogus"'))
    expect(at('Command failed -:2')).to.be.lessThan(at('LOOPBACK'))
  })
})
