import { expect } from 'chai'
import { IdleTun } from '../../lib/device/idle-tun.ts'
import { ipBatch } from '../../lib/iproute2/ip.ts'
import { Stack } from '../../lib/stack/stack.ts'
import { VirtualClock } from '../../lib/time/virtual-clock.ts'

/** What `explain` says of rules and tables, for a stack with a device `tun0` in group 7. */
function asked(commands: string, destination: string): string[] {
  const stack = new Stack({ clock: new VirtualClock() })
  stack.addDevice(new IdleTun('tun0'))
  const result = ipBatch(stack, `link set tun0 group 7\naddress add 10.9.0.1/24 dev tun0\n${commands}`)
  expect(result.stderr).to.equal('')
  const { steps } = stack.explain(destination)
  stack.close().catch(() => {})
  return steps.filter(({ kind }) => kind === 'rule' || kind === 'table').map(({ text }) => text)
}

describe('stack.explain()', () => {
  it('names the table that a blackhole is in, while local and main share one trie', () => {
    expect(asked('route add blackhole 10.1.0.0/16', '10.1.2.3')).to.deep.equal([
      '0: look in table local',
      'local: nothing matches',
      '32766: look in table main',
      'main: EINVAL',
    ])
    expect(asked('route add blackhole 10.1.0.0/16 table local', '10.1.2.3')).to.deep.equal([
      '0: look in table local',
      'local: EINVAL',
    ])
    expect(asked('rule add prio 9 table 9\nroute add prohibit 10.1.0.0/16', '10.1.2.3')).to.include.members([
      'local: nothing matches',
      'main: EACCES',
    ])
  })

  it('says why a rule does not take what it found', () => {
    const commands = 'route add 10.1.0.0/16 dev tun0\nrule add prio 9 table main'
    expect(asked(`${commands} suppress_ifgroup 7`, '10.1.2.3').slice(2, 6)).to.deep.equal([
      '9: look in table main',
      'main: unicast 10.1.0.0/16 dev tun0 scope link matches',
      '9: a device of that group is suppressed',
      '32766: look in table main',
    ])
    expect(asked(`${commands} suppress_prefixlength 16`, '10.1.2.3')).to.include(
      '9: a prefix that short is suppressed',
    )
    expect(asked(`${commands} suppress_ifgroup 8`, '10.1.2.3')).to.have.length(4)
  })
})
