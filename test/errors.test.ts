import { expect } from 'chai'
import { Errno, errnoName, invalidArgument, TunstackError } from '../lib/errors.ts'

describe('errors', () => {
  it('carry a code, the negative errno, the value, the call and the cause', () => {
    const cause = new Error('why')
    const error = new TunstackError('ENETUNREACH', 'no route to 10.0.0.1', {
      value: '10.0.0.1',
      syscall: 'connect',
      cause,
    })
    expect(error).to.be.instanceOf(Error)
    expect(error).to.include({ name: 'TunstackError', code: 'ENETUNREACH', errno: -101, value: '10.0.0.1' })
    expect(error).to.include({ syscall: 'connect', cause, message: 'no route to 10.0.0.1' })
  })

  it('have no errno where the code is none', () => {
    const error = new TunstackError('ERR_TUN_PERMISSION', 'x')
    expect(error.errno).to.equal(undefined)
    expect('cause' in error).to.equal(false)
  })

  it('name every errno, of either sign, and know the errno of every name', () => {
    for (const [name, errno] of Object.entries(Errno)) {
      expect(errnoName(errno)).to.equal(name)
      expect(errnoName(-errno)).to.equal(name)
      expect(new TunstackError(name, 'x')).to.include({ code: name, errno: -errno })
    }
    expect(errnoName(9999)).to.equal('E9999')
  })

  it('use the numbers of this machine’s kernel', async () => {
    const { constants } = await import('node:os')
    for (const [name, errno] of Object.entries(Errno)) {
      const known = (constants.errno as Record<string, number>)[name]
      if (known !== undefined) expect(errno, name).to.equal(known)
    }
  })

  it('say what was wrong and what is expected', () => {
    const error = invalidArgument('mtu', 'x', 'a number')
    expect(error).to.include({
      code: 'ERR_INVALID_ARG_VALUE',
      message: "mtu must be a number; got 'x'",
      value: 'x',
    })
    expect(invalidArgument('mtu', undefined, 'a number').message).to.equal(
      'mtu must be a number; got undefined',
    )
    expect(invalidArgument('mtu', null, 'a number').message).to.equal('mtu must be a number; got null')
    expect(invalidArgument('mtu', Object.create(null), 'a number').message).to.include('[object Object]')
  })
})
