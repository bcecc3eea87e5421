/** Echo requests of a guest: the gateway's own, those that the host asks for it, and what is said of others. */
import { spawnSync } from 'node:child_process'
import { expect } from 'chai'
import { OUTSIDE, OWN, useRig } from './rig.ts'

describe('gateway: ping', () => {
  const rig = useRig()
  const loopback = () => ({ redirect: { address: '127.0.0.1' } })
  /** The host's own: by a socket for echoes, or by the program where this user may not have one. */
  const canPing = spawnSync('ping', ['-c', '1', '127.0.0.1']).status === 0

  it('the gateway answers for itself', async () => {
    const { guest, gateway } = await rig.make()
    expect((await guest.ping(OWN)).probes[0]).to.include({ outcome: 'reply', from: OWN })
    expect(gateway.counters.pings).to.equal(0)
  })

  it('others are asked by the host; the answer is theirs, with the data of the guest', async function () {
    if (!canPing) this.skip()
    const { guest, gateway } = await rig.make({ onConnect: loopback })
    const { probes } = await guest.ping(OUTSIDE, { size: 3000 })
    expect(probes[0]).to.include({ outcome: 'reply', from: OUTSIDE, bytes: 3008 })
    expect(probes[0]).to.not.have.property('damagedAt')
    expect(gateway.counters.pings).to.equal(1)
  })

  it('denied is said, dropped is not; a gateway is a router on the way', async () => {
    const { guest } = await rig.make({
      onConnect: ({ protocol, destination: { address } }) => {
        expect(protocol).to.equal('icmp')
        return address === OUTSIDE ? 'deny' : 'drop'
      },
    })
    const first = async (address: string, options: object): Promise<unknown[]> => {
      const { outcome, from, icmp } = (await guest.ping(address, { timeout: 300, ...options })).probes[0]!
      return [outcome, from, icmp?.type, icmp?.code]
    }
    expect(await first(OUTSIDE, {})).to.deep.equal(['error', OWN, 3, 13])
    expect(await first('198.51.100.8', {})).to.deep.equal(['timeout', undefined, undefined, undefined])
    expect(await first(OUTSIDE, { ttl: 1 })).to.deep.equal(['error', OWN, 11, 0])
  })
})
