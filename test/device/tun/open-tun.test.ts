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
    expect(driver.requests).to.deep.equal([{ devicePath: '/dev/net/tun', name: '', vnetHeader: true }])
    expect(tun.name).to.equal('tun0')
    expect(driver.handles[0]!.calls).to.deep.equal(['set OFFLOAD 111', `set FLAGS ${0x1091}`])
  })

  it('passes name and device node on', async () => {
    const driver = new FakeDriver()
    const tun = await openTun({ driver, name: 'vpn%d', devicePath: '/tmp/node', up: false })
    expect(driver.requests[0]).to.include({ devicePath: '/tmp/node', name: 'vpn%d' })
    expect(tun.name).to.equal('vpn0')
    expect(driver.handles[0]!.calls).to.deep.equal(['set OFFLOAD 111'])
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
      'set OFFLOAD 111',
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
    // Which needs none.
    expect(driver.handles[1]!.calls).to.deep.equal(['set OFFLOAD 111'])
  })

  describe('offload', () => {
    const ALL = { checksum: true, tso: true, tsoEcn: true, uso: true }
    const NONE = { checksum: false, tso: false, tsoEcn: false, uso: false }

    /** A kernel that refuses to be asked for these `TUN_F_*` bits. */
    function kernelWithout(bits: number): FakeDriver {
      const driver = new FakeDriver()
      driver.prepare = (handle) => {
        handle.refuse = (property, value) => (property === 10 && (value & bits) !== 0 ? -22 : 0)
      }
      return driver
    }

    for (const [what, bits, granted] of [
      ['everything', 0, ALL],
      ['no USO', 0x60, { ...ALL, uso: false }],
      ['no USO and no ECN', 0x68, { ...ALL, uso: false, tsoEcn: false }],
      ['no TSO', 0x6e, { ...NONE, checksum: true }],
      ['nothing', 0x6f, NONE],
    ] as const) {
      it(`takes what a kernel grants that has ${what}`, () => {
        const tun = openTunSync({ driver: kernelWithout(bits) })
        expect(tun.offload).to.deep.equal(granted)
        expect(tun.features).to.deep.equal({
          ...granted,
          gather: true,
          gsoMaxSize: 65535,
          receiveChecksumGood: false,
        })
      })
    }

    it('does without on a kernel that has no virtio_net_hdr', () => {
      const driver = new FakeDriver()
      driver.refuseOpen = (request) => (request.vnetHeader ? { errno: -22, syscall: 'TUNSETIFF' } : null)
      const tun = openTunSync({ driver })
      expect(driver.requests.map((request) => request.vnetHeader)).to.deep.equal([true, false])
      expect(tun.offload).to.deep.equal(NONE)
    })

    it('asks for what the option says, and for nothing that needs something else', () => {
      const asked = (offload: TunOptions['offload']): unknown[] => {
        const driver = new FakeDriver()
        const tun = openTunSync({ driver, ...(offload === undefined ? {} : { offload }) })
        return [driver.requests[0]!.vnetHeader, driver.handles[0]!.calls[0], tun.offload]
      }
      expect(asked(true)).to.deep.equal([true, 'set OFFLOAD 111', ALL])
      expect(asked(false)).to.deep.equal([false, 'set OFFLOAD 0', NONE])
      expect(asked({ uso: false })).to.deep.equal([true, 'set OFFLOAD 15', { ...ALL, uso: false }])
      expect(asked({ tso: false })).to.deep.equal([
        true,
        'set OFFLOAD 97',
        { ...ALL, tso: false, tsoEcn: false },
      ])
      expect(asked({ checksum: false })).to.deep.equal([false, 'set OFFLOAD 0', NONE])
    })

    it('refuses what is no set of features', () => {
      for (const offload of [1, 'tso', null, ['tso'], { tso: 1 }, { lro: true }]) {
        const error = failureOf({ driver: new FakeDriver(), offload } as unknown as TunOptions)
        expect(error.code).to.equal('ERR_INVALID_ARG_VALUE')
        expect(error.message).to.contain('checksum, tso, tsoEcn, uso')
      }
    })

    it('fails, and closes, when the kernel has another reason to refuse', () => {
      const driver = new FakeDriver()
      driver.prepare = (handle) => handle.refuseProperty.set(10, -1)
      expect(failureOf({ driver, name: 'tun5' }).code).to.equal('ERR_TUN_PERMISSION')
      expect(driver.handles[0]!.closed).to.equal(true)
    })
  })

  it('takes a time to poll busily for', () => {
    const asked = (busyPoll: string): number => {
      const driver = new FakeDriver()
      openTunSync({ driver, busyPoll }).close()
      return driver.handles.length
    }
    for (const text of ['0us', '50us', '50µs', '10ms', '10000us']) expect(asked(text), text).to.equal(1)
    for (const busyPoll of ['', '50', '11ms', '1s', '-1us', '1.5ms', 50, null]) {
      const error = failureOf({ driver: new FakeDriver(), busyPoll } as unknown as TunOptions)
      expect(error.code, String(busyPoll)).to.equal('ERR_INVALID_ARG_VALUE')
    }
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
