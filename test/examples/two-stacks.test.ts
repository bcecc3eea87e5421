/** What examples/two-stacks.ts prints, as the documentation quotes it. */
import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { expect } from 'chai'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))

describe('examples/two-stacks.ts', function () {
  this.timeout(30_000)

  let output: string
  /** The text of the section with this number. */
  const section = (number: number): string => output.split(/^## /m)[number]!

  before(() => {
    output = execFileSync(process.execPath, ['--import', 'tsx', 'examples/two-stacks.ts'], {
      cwd: ROOT,
      encoding: 'utf8',
      timeout: 25_000,
    })
  })

  it('pings over a pipe', () => {
    expect(section(1)).to.contain('3 packets transmitted, 3 received, 0% packet loss')
  })

  it('forwards nothing until it is told to', () => {
    expect(section(2)).to.contain('2 packets transmitted, 0 received, 100% packet loss')
    expect(section(3).match(/3 packets transmitted, 3 received, 0% packet loss/g)).to.have.length(2)
    expect(section(3)).to.contain('The reply came with TTL 63')
    expect(section(3)).to.contain('IpForwDatagrams 12')
  })

  it('shows the path MTU being learnt', () => {
    expect(section(4)).to.contain(
      'IP 10.1.0.1 > 10.1.0.2: ICMP 10.2.0.2 unreachable - need to frag (mtu 1400)',
    )
    expect(section(4)).to.contain('seq 1: EMSGSIZE from 10.1.0.1, mtu = 1400')
    expect(section(4)).to.contain('seq 2: EMSGSIZE from the sending stack itself')
    expect(section(4)).to.contain('route   unicast 10.2.0.2 via 10.1.0.1 dev eth0 mtu 1400 (path MTU learnt)')
    expect(section(5)).to.contain('2 packets transmitted, 2 received, 0% packet loss')
    expect(section(5)).to.contain('left counts IpFragCreates 4, right IpReasmOKs 2.')
  })
})
