import { execFileSync } from 'node:child_process'
import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { expect } from 'chai'
import { runScenario } from './run-scenario.ts'

describe('TUN driver against the kernel', function () {
  this.timeout(60_000)
  this.slow(5_000)

  let folder: string
  let env: NodeJS.ProcessEnv

  before(() => {
    folder = mkdtempSync(path.join(tmpdir(), 'tunstack-'))
    chmodSync(folder, 0o755)
    const node = path.join(folder, 'open')
    const closed = path.join(folder, 'closed')
    execFileSync('mknod', ['-m', '0666', node, 'c', '10', '200'])
    execFileSync('mknod', ['-m', '0600', closed, 'c', '10', '200'])
    env = { ...process.env, TUNSTACK_TEST_NODE: node, TUNSTACK_TEST_CLOSED_NODE: closed }
  })

  after(() => rmSync(folder, { recursive: true, force: true }))

  function scenario(name: string, title = name): void {
    it(title, async () => {
      await runScenario(name, { env })
    })
  }

  describe('opening', () => {
    scenario('open by name', 'opens by name and sets the kernel’s side up')
    scenario('name chosen by the kernel', 'takes a name of the kernel’s choice')
    scenario('point-to-point peer', 'makes a point-to-point link')
    scenario('existing persistent TUN', 'attaches to an existing persistent TUN, and leaves or removes it')
    scenario('made persistent', 'makes an interface persistent, with an owner')
    scenario('renamed from outside', 'follows an interface that is renamed')
    scenario('other device node', 'opens another device node')
    scenario('several devices at once', 'runs several devices at once')
  })

  describe('traffic', () => {
    scenario('ping is answered', 'lets JavaScript answer a real ping, and a flood')
    scenario('kernel to device, no loss and in order')
    scenario('device to kernel, no loss and in order')
    scenario('bad packets in the middle of a batch', 'goes on after bad packets in the middle of a batch')
    scenario('bodies and checksums as the kernel wants them', 'sends bodies and completes partial checksums')
    scenario('down and up again', 'goes down and up again, on either side')
    scenario('pause holds packets in the kernel', 'pauses without losing packets')
    scenario('an exhausted pool rests and comes back', 'rests while the pool is exhausted, and comes back')
    scenario(
      'jumbo packets, and an MTU raised from outside',
      'reads packets of any MTU, also one raised from outside',
    )
    scenario('timers keep their turn under a flood', 'leaves timers their turn under a flood')
  })

  describe('ends', () => {
    scenario('close while reading', 'closes while packets flow')
    scenario('close inside the callback', 'closes inside its callback')
    scenario('close before it was ever attached')
    it('keeps the process alive while it is open, also unattached', async () => {
      expect(await runScenario('an open device keeps the process alive', { env })).to.equal('alive\n')
    })
    it('lets the process end after unref()', async () => {
      expect(await runScenario('an unreferenced device lets the process end', { env })).to.equal('')
    })
    scenario('interface deleted under it', 'reports an interface deleted under it')
    scenario('interface deleted while it is paused, and between two writes')
    scenario('interface deleted and the process ends by itself')
    scenario('worker terminated with open devices', 'survives the termination of a worker in a flood')
    scenario('worker ends by itself with an open device', 'lets a worker exit with an open device')
    scenario('process.exit with an open device', 'lets the process exit with an open device')
    scenario('an error of the stack is an uncaught exception, and the device goes on')
    scenario('many open and close cycles', 'leaks no descriptor over 2,000 cycles of opening and closing')
    scenario('devices and arenas that are forgotten are collected', 'closes devices that were forgotten')
    scenario('packet memory transferred to another thread', 'refuses to send from transferred memory')
    scenario(
      'the slots’ memory transferred under the driver',
      'reads on after its memory was transferred away',
    )
    scenario('privileges dropped after opening', 'hardening-26: works on after privileges were dropped')
    scenario(
      'persistent TUN of an unprivileged user',
      'hardening-26: needs no root for a user’s own persistent TUN',
    )
  })

  describe('errors', () => {
    scenario('no permission to open the node', 'ERR_TUN_PERMISSION: the node cannot be opened')
    scenario(
      'no permission to create or attach',
      'ERR_TUN_PERMISSION: the interface cannot be made or attached to',
    )
    scenario('no device node', 'ERR_TUN_NO_DEVICE_NODE')
    scenario('name taken', 'ERR_TUN_NAME_TAKEN')
    scenario('not a TUN', 'ERR_TUN_NOT_A_TUN: another kind of interface')
    scenario('the kernel agrees on which names are valid', 'ERR_TUN_NAME_INVALID')
    scenario('settings that the kernel refuses leave nothing behind')
    scenario('unsupported platform', 'ERR_TUN_UNSUPPORTED_PLATFORM')
    scenario('descriptors are not inherited', 'keeps its descriptors from child processes')
  })

  describe('tuntap2', () => {
    scenario('tuntap2: properties', 'has the properties of the module')
    scenario('tuntap2: an echo by pipe', 'answers a flood through pipe()')
    scenario(
      'tuntap2: backpressure leaves packets in the kernel',
      'leaves packets in the kernel until they are read',
    )
    scenario(
      'tuntap2: writes in order, a turn of the loop per burst',
      'writes in order, and says when to stop',
    )
    scenario('tuntap2: refused packets are dropped and counted', 'drops and counts refused packets')
    scenario('tuntap2: deleted under it', 'ends with an error when the interface is deleted')
    scenario('tuntap2: released inside a listener', 'may be released inside a listener')
  })
})
