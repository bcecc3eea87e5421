/** Each error code as the real kernel provokes it. */
import { execFileSync } from 'node:child_process'
import { expect } from 'chai'
import type { TunOptions } from '../../../../lib/device/tun/index.ts'
import type { TunstackError } from '../../../../lib/errors.ts'
import { ip, openTun, openTunSync } from '../bench.ts'

const NOBODY = 65534

function failureOf(options: TunOptions): TunstackError {
  try {
    openTunSync(options)
  } catch (error) {
    return error as TunstackError
  }
  throw new Error('opened')
}

async function asNobody(): Promise<void> {
  await openTun().then((tun) => tun.close())
  process.setgroups!([])
  process.setgid!(NOBODY)
  process.setuid!(NOBODY)
}

export const errors: Record<string, () => Promise<void>> = {
  async 'no permission to open the node'() {
    await asNobody()
    const devicePath = process.env['TUNSTACK_TEST_CLOSED_NODE']!
    const error = failureOf({ devicePath })
    expect(error).to.include({ code: 'ERR_TUN_PERMISSION', errno: -13, syscall: 'open', value: devicePath })
    expect(error.message).to.contain(`no permission to open ${devicePath}`)
  },

  async 'no permission to create or attach'() {
    ip('tuntap', 'add', 'dev', 'root0', 'mode', 'tun', 'user', '0')
    await asNobody()
    const devicePath = process.env['TUNSTACK_TEST_NODE']!
    const create = failureOf({ devicePath })
    expect(create).to.include({ code: 'ERR_TUN_PERMISSION', errno: -1, syscall: 'TUNSETIFF' })
    expect(create.message).to.contain('creating a TUN needs CAP_NET_ADMIN')
    const other = failureOf({ devicePath, name: 'root0' })
    expect(other).to.include({ code: 'ERR_TUN_PERMISSION', errno: -1, value: 'root0' })
    expect(other.message).to.contain("attach to 'root0'")
  },

  async 'no device node'() {
    const missing = failureOf({ devicePath: '/dev/net/no-such-node' })
    expect(missing).to.include({ code: 'ERR_TUN_NO_DEVICE_NODE', errno: -2, value: '/dev/net/no-such-node' })
    for (const devicePath of ['/dev/null', '/', '/etc/passwd/tun']) {
      expect(failureOf({ devicePath })).to.include({ code: 'ERR_TUN_NO_DEVICE_NODE', value: devicePath })
    }
  },

  async 'name taken'() {
    const tun = await openTun({ name: 'busy0' })
    expect(failureOf({ name: 'busy0' })).to.include({
      code: 'ERR_TUN_NAME_TAKEN',
      errno: -16,
      value: 'busy0',
    })
    await tun.close()
  },

  async 'not a TUN'() {
    ip('tuntap', 'add', 'dev', 'tap7', 'mode', 'tap')
    ip('tuntap', 'add', 'dev', 'multi0', 'mode', 'tun', 'multi_queue')
    for (const name of ['lo', 'tap7', 'multi0']) {
      expect(failureOf({ name })).to.include({ code: 'ERR_TUN_NOT_A_TUN', errno: -22, value: name })
    }
  },

  async 'the kernel agrees on which names are valid'() {
    const names = ['a'.repeat(15), 'tun-1.2', 'x@y', 'ünï', '(', 'a%db']
    for (const name of names) await openTun({ name, up: false }).then((tun) => tun.close())
    for (const name of ['a'.repeat(16), '..', 'a b', 'a%s', 'a:b']) {
      expect(failureOf({ name })).to.include({ code: 'ERR_TUN_NAME_INVALID', value: name })
    }
  },

  async 'settings that the kernel refuses leave nothing behind'() {
    const before = ip('-br', 'link')
    expect(failureOf({ address: '224.0.0.1/24' }).code).to.match(/^E/)
    expect(ip('-br', 'link')).to.equal(before)
  },

  async 'unsupported platform'() {
    Object.defineProperty(process, 'platform', { value: 'darwin' })
    expect(failureOf({})).to.include({ code: 'ERR_TUN_UNSUPPORTED_PLATFORM', value: 'darwin' })
  },

  async 'descriptors are not inherited'() {
    const tun = await openTun()
    const listed = execFileSync('ls', ['-l', '/proc/self/fd'], { encoding: 'utf8' })
    expect(listed).to.not.contain('/dev/net/tun')
    await tun.close()
  },
}
