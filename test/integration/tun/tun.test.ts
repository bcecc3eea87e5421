import { execFileSync } from 'node:child_process'
import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { expect } from 'chai'
import { runScenario } from './run-scenario.ts'

type Run = (name: string, timeout?: number) => Promise<string>
type Scenario = (name: string, title?: string) => void

/** A device node that everybody may open, and one that only root may: the scenarios find them in their environment. */
let folder: string

before(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'tunstack-'))
  chmodSync(folder, 0o755)
  execFileSync('mknod', ['-m', '0666', path.join(folder, 'open'), 'c', '10', '200'])
  execFileSync('mknod', ['-m', '0600', path.join(folder, 'closed'), 'c', '10', '200'])
})

after(() => rmSync(folder, { recursive: true, force: true }))

function suite(
  title: string,
  variables: NodeJS.ProcessEnv,
  define: (scenario: Scenario, run: Run) => void,
): void {
  describe(title, function () {
    this.timeout(120_000)
    this.slow(5_000)
    const run: Run = (name, timeout = 30_000) => {
      const nodes = {
        TUNSTACK_TEST_NODE: path.join(folder, 'open'),
        TUNSTACK_TEST_CLOSED_NODE: path.join(folder, 'closed'),
      }
      return runScenario(name, { env: { ...process.env, ...nodes, ...variables }, timeout })
    }
    const scenario: Scenario = (name, itsTitle = name) => {
      it(itsTitle, async () => {
        await run(name)
      })
    }
    define(scenario, run)
  })
}

/** What every way to the kernel has to do. */
function compliance(scenario: Scenario, run: Run): void {
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

  traffic(scenario)

  describe('offloads', () => {
    scenario('offload: TCP super-segments both ways', 'joins two kernels by TCP super-segments')
    scenario('offload: ECN on super-segments', 'keeps CWR to the first segment')
    scenario('offload: UDP super-segments both ways', 'joins two kernels by UDP super-segments')
    scenario('offload: as much as is asked for', 'takes as much as is asked for')
    scenario(
      'offload: what is sent with a header that lies is refused, and the rest goes',
      'goes on after headers that the kernel refuses',
    )
    scenario(
      'offload: headers that the kernel refuses are refused here',
      'takes no header that the kernel would refuse, of 20,000',
    )
    scenario('offload: a persistent interface does not keep them', 'leaves none of them to the next user')
    scenario(
      'offload: bursts of large and small packets, more than there are large slabs',
      'reads large packets among small ones in little memory',
    )
  })

  describe('ends', () => {
    scenario('close while reading', 'closes while packets flow')
    scenario('close inside the callback', 'closes inside its callback')
    scenario('close before it was ever attached')
    it('keeps the process alive while it is open, also unattached', async () => {
      expect(await run('an open device keeps the process alive')).to.equal('alive\n')
    })
    it('lets the process end after unref()', async () => {
      expect(await run('an unreferenced device lets the process end')).to.equal('')
    })
    scenario('interface deleted under it', 'reports an interface deleted under it')
    scenario('interface deleted while it is paused, and between two writes')
    scenario('interface deleted and the process ends by itself')
    scenario('worker terminated with open devices', 'survives the termination of a worker in a flood')
    scenario('worker ends by itself with an open device', 'lets a worker exit with an open device')
    scenario('process.exit with an open device', 'lets the process exit with an open device')
    scenario('an error of the stack is an uncaught exception, and the device goes on')
    scenario('killed with an open device', 'leaves nothing behind when it is killed')
    it('leaks no descriptor and no memory over 10,000 cycles of opening and closing', async () => {
      await run('many open and close cycles', 110_000)
    })
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
}

function traffic(scenario: Scenario): void {
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
    scenario('busy polling leaves timers their turn, and ends')
  })
}

for (const driver of ['addon', 'koffi']) {
  suite(`TUN driver against the kernel: ${driver}`, { TUNSTACK_TEST_DRIVER: driver }, compliance)
  const plain = { TUNSTACK_TEST_DRIVER: driver, TUNSTACK_TEST_OFFLOAD: 'off' }
  suite(`TUN driver against the kernel: ${driver} without offloads`, plain, traffic)
}

suite('tuntap2 against the kernel', {}, (scenario) => {
  scenario('tuntap2: properties', 'has the properties of the module')
  scenario('tuntap2: an echo by pipe', 'answers a flood through pipe()')
  scenario(
    'tuntap2: backpressure leaves packets in the kernel',
    'leaves packets in the kernel until they are read',
  )
  scenario('tuntap2: writes in order, a turn of the loop per burst', 'writes in order, and says when to stop')
  scenario('tuntap2: refused packets are dropped and counted', 'drops and counts refused packets')
  scenario('tuntap2: deleted under it', 'ends with an error when the interface is deleted')
  scenario('tuntap2: released inside a listener', 'may be released inside a listener')
})
