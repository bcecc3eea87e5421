import { expect } from 'chai'
import { openTun, openTunSync, type TunOptions } from '../../../lib/device/tun/index.ts'
import { TunstackError } from '../../../lib/errors.ts'
import { FakeDriver } from './fake-driver.ts'

function failureOf(options: TunOptions): TunstackError {
  try {
    openTunSync(options)
  } catch (error) {
    expect(error).to.be.instanceOf(TunstackError)
    return error as TunstackError
  }
  throw new Error('opened')
}

describe('openTun', () => {
  it('asks for a name of the kernel’s choice, and brings the interface up', async () => {
    const driver = new FakeDriver()
    const tun = await openTun({ driver })
    expect(driver.requests).to.deep.equal([
      { devicePath: '/dev/net/tun', name: '', vnetHeaderSize: 0, offload: 0 },
    ])
    expect(tun.name).to.equal('tun0')
    expect(driver.handles[0]!.calls).to.deep.equal([`set FLAGS ${0x1091}`])
  })

  it('passes name and device node on', async () => {
    const driver = new FakeDriver()
    const tun = await openTun({ driver, name: 'vpn%d', devicePath: '/tmp/node', up: false })
    expect(driver.requests[0]).to.include({ devicePath: '/tmp/node', name: 'vpn%d' })
    expect(tun.name).to.equal('vpn0')
    expect(driver.handles[0]!.calls).to.deep.equal([])
  })

  it('sets the kernel’s side up in an order that works', async () => {
    const driver = new FakeDriver()
    const tun = await openTun({
      driver,
      owner: 1000,
      persist: true,
      mtu: 1400,
      txQueueLength: 5000,
      address: '10.9.0.1/24',
      peer: '10.9.0.2',
    })
    expect(driver.handles[0]!.calls).to.deep.equal([
      'set OWNER 1000',
      'set PERSIST 1',
      'set MTU 1400',
      'set TX_QUEUE 5000',
      `set ADDRESS ${0x0a090001}`,
      `set NETMASK ${0xffffff00}`,
      `set PEER ${0x0a090002}`,
      `set FLAGS ${0x1091}`,
    ])
    expect(tun.mtu).to.equal(1400)
    expect(tun.kernel.address).to.deep.equal({ address: 0x0a090001, length: 24 })
  })

  it('touches nothing that is as wanted already, so that it needs no privilege', async () => {
    const driver = new FakeDriver()
    const wanted = { driver, mtu: 1400, txQueueLength: 5000, address: '10.9.0.1/24', peer: '10.9.0.2' }
    await openTun(wanted)
    const { properties } = driver.handles[0]!
    driver.prepare = (handle) => {
      for (const [property, value] of properties) handle.properties.set(property, value)
    }
    await openTun(wanted)
    expect(driver.handles[1]!.calls).to.deep.equal([])
  })

  it('closes what it opened when setting up fails', () => {
    const driver = new FakeDriver()
    driver.prepare = (handle) => handle.refuseProperty.set(3, -1)
    const error = failureOf({ driver, name: 'tun5', address: '10.9.0.1/24' })
    expect(error).to.include({ code: 'ERR_TUN_PERMISSION', errno: -1, value: '10.9.0.1/24' })
    expect(error.message).to.match(/address of 'tun5'.*CAP_NET_ADMIN/)
    expect(driver.handles[0]!.closed).to.equal(true)
  })

  const invalidNames = [
    'a'.repeat(16),
    'é'.repeat(8),
    'a/b',
    'a:b',
    'a b',
    'a\tb',
    '.',
    '..',
    'a%s',
    '%d%d',
    'a\0b',
    '\u00a0',
  ]
  for (const name of invalidNames) {
    it(`refuses the name ${JSON.stringify(name)} and never cuts it`, () => {
      const driver = new FakeDriver()
      expect(failureOf({ driver, name })).to.include({
        code: 'ERR_TUN_NAME_INVALID',
        errno: -22,
        value: name,
      })
      expect(driver.requests).to.deep.equal([])
    })
  }

  for (const name of ['a'.repeat(15), 'é'.repeat(7), 'tun-0.1', 'vpn%d']) {
    it(`takes the name ${name}`, () => {
      const driver = new FakeDriver()
      expect(openTunSync({ driver, name }).name).to.equal(name.replace('%d', '0'))
    })
  }

  const wrong: [TunOptions, string][] = [
    [{ mtu: 67 }, 'mtu'],
    [{ mtu: 65536 }, 'mtu'],
    [{ mtu: 1500.5 }, 'mtu'],
    [{ txQueueLength: -1 }, 'txQueueLength'],
    [{ owner: -1 }, 'owner'],
    [{ devicePath: '' }, 'devicePath'],
    [{ devicePath: '/dev/\0' }, 'devicePath'],
    [{ address: '10.9.0.1/33' }, 'prefix'],
    [{ address: '0.0.0.0/0' }, 'address'],
    [{ address: 'host' }, 'address'],
    [{ peer: '10.9.0.1/24' }, 'address'],
  ]
  for (const [options, what] of wrong) {
    it(`refuses ${JSON.stringify(options)} before it opens anything`, () => {
      const driver = new FakeDriver()
      const error = failureOf({ driver, ...options })
      expect(error.code).to.equal('ERR_INVALID_ARG_VALUE')
      expect(error.message).to.contain(what)
      expect(driver.requests).to.deep.equal([])
    })
  }

  const failures: [errno: number, syscall: string, exists: boolean, code: string, advice: RegExp][] = [
    [-13, 'open', false, 'ERR_TUN_PERMISSION', /open \/dev\/net\/tun.*chmod/],
    [-1, 'open', false, 'ERR_TUN_PERMISSION', /--device/],
    [-2, 'open', false, 'ERR_TUN_NO_DEVICE_NODE', /modprobe tun.*mknod/],
    [-20, 'open', false, 'ERR_TUN_NO_DEVICE_NODE', /no \/dev\/net\/tun/],
    [-19, 'open', false, 'ERR_TUN_NO_DEVICE_NODE', /modprobe tun/],
    [-6, 'open', false, 'ERR_TUN_NO_DEVICE_NODE', /modprobe tun/],
    [-21, 'open', false, 'ERR_TUN_NO_DEVICE_NODE', /no TUN device node/],
    [-24, 'open', false, 'EMFILE', /EMFILE/],
    [-1, 'TUNSETIFF', false, 'ERR_TUN_PERMISSION', /creating a TUN needs CAP_NET_ADMIN/],
    [-1, 'TUNSETIFF', true, 'ERR_TUN_PERMISSION', /attach to 'tun9'/],
    [-16, 'TUNSETIFF', true, 'ERR_TUN_NAME_TAKEN', /another process/],
    [-23, 'TUNSETIFF', false, 'ERR_TUN_NAME_TAKEN', /every name/],
    [-25, 'TUNSETIFF', false, 'ERR_TUN_NO_DEVICE_NODE', /no TUN device node/],
    [-22, 'TUNSETIFF', true, 'ERR_TUN_NOT_A_TUN', /ip link delete tun9/],
    [-22, 'TUNSETIFF', false, 'ERR_TUN_NAME_INVALID', /cannot be an interface/],
    [-12, 'TUNSETIFF', false, 'ENOMEM', /ENOMEM/],
  ]
  for (const [errno, syscall, exists, code, advice] of failures) {
    it(`says ${code} for errno ${-errno} of ${syscall}${exists ? ' on an existing interface' : ''}`, () => {
      const driver = new FakeDriver()
      driver.failure = { errno, syscall }
      if (exists) driver.existing.add('tun9')
      const error = failureOf({ driver, name: 'tun9' })
      expect(error).to.include({ code, errno, syscall })
      expect(error.value).to.be.oneOf(['tun9', '/dev/net/tun'])
      expect(error.message).to.match(advice)
    })
  }
})
