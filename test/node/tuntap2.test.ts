import { once } from 'node:events'
import { setImmediate as turn } from 'node:timers/promises'
import { expect } from 'chai'
import { TunstackError } from '../../lib/errors.ts'
import { Tap, Tun } from '../../lib/node/tuntap2.ts'
import { FakeDriver, type FakeHandle } from '../device/tun/fake-driver.ts'

function opened(): { tun: Tun; handle: FakeHandle } {
  const driver = new FakeDriver()
  const tun = new Tun({ driver })
  return { tun, handle: driver.handles[0]! }
}

const packet = (n: number): Buffer => Buffer.alloc(40, n)

function codeOf(action: () => unknown): string | undefined {
  try {
    action()
  } catch (error) {
    expect(error).to.be.instanceOf(TunstackError)
    return (error as TunstackError).code
  }
  return undefined
}

describe('tunstack/tuntap2', () => {
  it('opens an interface that is down, and reads nothing yet', () => {
    const { tun, handle } = opened()
    expect(tun).to.include({ name: 'tun0', isTun: true, isTap: false, isUp: false, mtu: 1500, ipv4: null })
    expect(handle.reading).to.equal(false)
    tun.destroy()
  })

  it('sets mtu, ipv4 and isUp', () => {
    const { tun } = opened()
    tun.mtu = 1400
    tun.ipv4 = '10.0.0.100/24'
    tun.isUp = true
    expect(tun).to.include({ mtu: 1400, ipv4: '10.0.0.100/24', isUp: true })
    tun.isUp = false
    expect(tun.isUp).to.equal(false)
    tun.destroy()
  })

  it('says clearly what it cannot', () => {
    const { tun } = opened()
    expect(codeOf(() => new Tap())).to.equal('ERR_TAP_UNSUPPORTED')
    expect(codeOf(() => tun.ipv6)).to.equal('ERR_TUN_IPV6_UNSUPPORTED')
    expect(codeOf(() => (tun.ipv6 = 'abcd:1:2:3::/64'))).to.equal('ERR_TUN_IPV6_UNSUPPORTED')
    expect(codeOf(() => (tun.mac = '00:11:22:33:44:55'))).to.equal('ERR_TUN_NO_MAC')
    expect(codeOf(() => (tun.ipv4 = '10.0.0.1'))).to.equal('ERR_INVALID_ARG_VALUE')
    expect(codeOf(() => (tun.mtu = 10))).to.equal('EINVAL')
    tun.destroy()
  })

  it('gives one Buffer per packet, which stays the reader’s', async () => {
    const { tun, handle } = opened()
    const seen: Buffer[] = []
    tun.on('data', (chunk) => seen.push(chunk))
    await turn()
    handle.deliver([packet(1), packet(2)])
    handle.deliver([packet(3)])
    await turn()
    expect(seen).to.deep.equal([packet(1), packet(2), packet(3)])
    tun.destroy()
  })

  it('keeps packets apart for who reads by hand', async () => {
    const { tun, handle } = opened()
    tun.read(0)
    handle.deliver([packet(1), packet(2)])
    expect(tun.read()).to.deep.equal(packet(1))
    expect(tun.read()).to.deep.equal(packet(2))
    expect(tun.read()).to.equal(null)
    tun.destroy()
  })

  it('stops reading at its high-water mark, and resumes', async () => {
    const { tun, handle } = opened()
    tun.read(0)
    let delivered = 0
    while (handle.deliver(Array.from({ length: 64 }, () => packet(1))) > 0) delivered += 64
    expect(delivered).to.equal(256)
    expect(handle.reading).to.equal(false)
    for (let n = 0; n < 200; n++) tun.read()
    await turn()
    expect(handle.reading).to.equal(true)
    tun.destroy()
  })

  it('writes a burst per turn of the event loop, and says stop', async () => {
    const { tun, handle } = opened()
    const results = Array.from({ length: 500 }, (_, n) => tun.write(packet(n & 255)))
    expect(results.includes(false)).to.equal(true)
    expect(handle.written.length).to.be.at.most(64)
    await once(tun, 'drain')
    expect(handle.written.map((bytes) => bytes[0])).to.deep.equal(
      Array.from({ length: 500 }, (_, n) => n & 255),
    )
    tun.destroy()
  })

  it('refuses what is no packet', async () => {
    const { tun, handle } = opened()
    const failed = once(tun, 'error')
    tun.write(42 as never)
    const [error] = (await failed) as [TunstackError]
    expect(error.code).to.equal('ERR_INVALID_ARG_VALUE')
    expect(handle.closed).to.equal(true)
  })

  it('release() closes at once, calls back, and may be called twice', async () => {
    const { tun, handle } = opened()
    tun.resume()
    const released = new Promise<void>((resolve) => tun.release(() => resolve()))
    expect(handle.closed).to.equal(true)
    await released
    await new Promise<void>((resolve) => tun.release(() => resolve()))
    expect(tun.destroyed).to.equal(true)
  })

  it('is destroyed with the error when the interface goes', async () => {
    const { tun, handle } = opened()
    tun.resume()
    const failed = once(tun, 'error')
    await turn()
    handle.deliver([], 77)
    const [error] = (await failed) as [TunstackError]
    expect(error.code).to.equal('ERR_TUN_GONE')
    expect(handle.closed).to.equal(true)
  })

  it('ends writing and goes on reading after end()', async () => {
    const { tun, handle } = opened()
    const seen: Buffer[] = []
    tun.on('data', (chunk) => seen.push(chunk))
    tun.end(packet(9))
    await once(tun, 'finish')
    expect(handle.written.length).to.equal(1)
    handle.deliver([packet(1)])
    await turn()
    expect(seen.length).to.equal(1)
    tun.destroy()
    await once(tun, 'close')
  })

  it('leaves nothing open when the constructor throws', () => {
    const driver = new FakeDriver()
    driver.failure = { errno: -1, syscall: 'TUNSETIFF' }
    expect(codeOf(() => new Tun({ driver }))).to.equal('ERR_TUN_PERMISSION')
  })
})
