/**
 * Settings of devices beside the kernel: generated writes to `conf/all`, `conf/default` and devices, among devices
 * that come, go and get addresses. Which writes are refused and what every setting reads afterwards must be the same.
 * Needs root. SYSCTL_SCRIPTS says how many scripts, SYSCTL_SEED which.
 */
import { spawnSync } from 'node:child_process'
import fc from 'fast-check'
import { IdleTun } from '../../lib/device/idle-tun.ts'
import { ip } from '../../lib/iproute2/ip.ts'
import { Stack } from '../../lib/stack/stack.ts'
import { DEVICE_CONF_NAMES } from '../../lib/sysctl/device-conf.ts'
import { Sysctl } from '../../lib/sysctl/sysctl.ts'

const SCRIPTS = Number(process.env['SYSCTL_SCRIPTS'] ?? 30)
const SEED = Number(process.env['SYSCTL_SEED'] ?? 20251122)
const SETTINGS = '/proc/sys/net/ipv4'
/** Set by a daemon that routes multicast alone. */
const READ_ONLY = 'mc_forwarding'
const WRITABLE = DEVICE_CONF_NAMES.filter((name) => name !== READ_ONLY)

/** A write, or a command of `ip`. */
type Change = { readonly name: string; readonly value: string } | { readonly command: string }

const where = fc.constantFrom('all', 'default', 'lo', 'tun0', 'tun1', 'tun2')
const value = fc.oneof(
  { weight: 8, arbitrary: fc.constantFrom('0', '1', '2') },
  { weight: 1, arbitrary: fc.constantFrom('-1', '7', '0x10', '010', ' 1', 'x', '99999999999') },
)
const write = fc.oneof(
  {
    weight: 9,
    arbitrary: fc
      .tuple(where, fc.constantFrom(...WRITABLE), value)
      .map(([device, name, text]): Change => ({ name: `conf.${device}.${name}`, value: text })),
  },
  { weight: 2, arbitrary: value.map((text): Change => ({ name: 'ip_forward', value: text })) },
)
const command = fc
  .constantFrom(
    'tuntap add dev tun1 mode tun',
    'tuntap add dev tun2 mode tun',
    'link del tun1',
    'link del tun2',
    'link set tun0 up',
    'link set tun0 down',
    'address add 10.0.0.1/24 dev tun0',
    'address add 10.1.0.1/24 dev tun1',
    'address add 10.2.0.1/24 dev tun2',
    'address flush dev tun0',
    'link set lo up',
    'link set lo mtu 60',
    'link set lo mtu 65536',
  )
  .map((text): Change => ({ command: text }))
const change = fc.oneof({ weight: 5, arbitrary: write }, { weight: 2, arbitrary: command })

/** Not the shell's own `read`: it takes one byte at a time, of which such a file gives one. */
const SURVEY = `for name in ${WRITABLE.join(' ')}; do grep -H '' conf/*/$name; done; grep -H '' ip_forward`

/** After each change: refused or not; in the end every value. */
function kernel(changes: readonly Change[], defaults: readonly string[]): string[] {
  const lines = changes.map((each) =>
    'command' in each
      ? `ip ${each.command} 2>/dev/null; echo`
      : `printf %s '${each.value}' 2>/dev/null >${each.name.replaceAll('.', '/')} && echo taken || echo refused`,
  )
  const script = [
    'exec 2>/dev/null',
    `cd ${SETTINGS} || exit 99`,
    'echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6',
    ...defaults,
    'ip tuntap add dev tun0 mode tun',
    ...lines,
    SURVEY,
  ]
  const run = spawnSync('unshare', ['--net', 'sh'], { input: script.join('\n'), encoding: 'utf8' })
  if (run.status === 99 || run.status === null) throw new Error('no namespace')
  return run.stdout.trimEnd().split('\n')
}

/**
 * The settings that a fresh namespace here has otherwise than a stack, because the machine's were written: other
 * values, or devices that don't follow `default`.
 */
function inherited(): string[] {
  const script = WRITABLE.flatMap((name) => [
    `all=$(cat conf/all/${name}); default=$(cat conf/default/${name}); lo=$(cat conf/lo/${name})`,
    `echo 5 >conf/default/${name}; after=$(cat conf/lo/${name}); echo $default >conf/default/${name}`,
    `echo "${name} $all $default $lo $after"`,
  ])
  const input = [`cd ${SETTINGS} || exit 99`, ...script].join('\n')
  const { stdout } = spawnSync('unshare', ['--net', 'sh'], { input, encoding: 'utf8' })
  const { all, default: first } = new Sysctl()
  return stdout
    .trimEnd()
    .split('\n')
    .filter((line) => {
      const [name, ...values] = line.split(' ')
      const field = WRITABLE.find((each) => each === name)!
      const expected = [all[field], first[field], first[field], field === 'forwarding' ? first[field] : 5]
      return values.join() !== expected.join()
    })
    .map((line) => line.split(' ')[0]!)
}

const PLACES = ['all', 'default', 'lo']

function writeDefaults(names: readonly string[]): string[] {
  const fresh = new Sysctl()
  const value = (place: string, name: string): string =>
    fresh.get(`net.ipv4.conf.${place === 'lo' ? 'default' : place}.${name}`)
  return PLACES.flatMap((place) => names.map((name) => `echo ${value(place, name)} >conf/${place}/${name}`))
}

function newStack(names: readonly string[]): Stack {
  const stack = new Stack({ loopbackUp: false })
  const { sysctl } = stack
  for (const place of PLACES) {
    for (const name of names) {
      const full = `net.ipv4.conf.${place}.${name}`
      sysctl.set(full, sysctl.get(full))
    }
  }
  stack.addDevice(new IdleTun('tun0'), { up: false })
  return stack
}

function ours(changes: readonly Change[], names: readonly string[]): string[] {
  const stack = newStack(names)
  const said = changes.map((each): string => {
    if ('command' in each) {
      const [, made] = /^tuntap add dev (\w+)/.exec(each.command) ?? []
      if (made === undefined) ip(stack, each.command)
      else if (stack.devices.byName(made) === undefined) stack.addDevice(new IdleTun(made), { up: false })
      return ''
    }
    try {
      const device = /^conf\.(tun\d)\./.exec(each.name)?.[1]
      if (device !== undefined && stack.devices.byName(device) === undefined) return 'refused'
      stack.sysctlSet(`net.ipv4.${each.name}`, each.value)
      return 'taken'
    } catch {
      return 'refused'
    }
  })
  const read = (name: string): string => stack.sysctl.get(`net.ipv4.${name}`)
  const devices = new Set(
    [...stack.sysctl.names()].flatMap((name) => /^net\.ipv4\.conf\.(\w+)\./.exec(name)?.[1] ?? []),
  )
  for (const name of WRITABLE) {
    for (const device of [...devices].sort())
      said.push(`conf/${device}/${name}:${read(`conf.${device}.${name}`)}`)
  }
  said.push(`ip_forward:${read('ip_forward')}`)
  void stack.close()
  return said
}

describe('settings of devices, and the kernel', function () {
  this.timeout(60_000 + SCRIPTS * 500)

  it(`read the same after ${SCRIPTS} scripts, seed ${SEED}`, () => {
    const names = inherited()
    console.log(`      written here before: ${names.join(' ') || 'none'}`)
    const defaults = writeDefaults(names)
    fc.assert(
      fc.property(fc.array(change, { maxLength: 40, size: 'max' }), (changes) => {
        const theirs = kernel(changes, defaults)
        const own = ours(changes, names)
        const at = theirs.findIndex((line, index) => line !== own[index])
        if (at < 0 && theirs.length === own.length) return
        const script = changes.map((each) =>
          'command' in each ? each.command : `${each.name}=${each.value}`,
        )
        throw new Error(`${script.join('\n')}\nkernel: ${theirs[at]}\nstack: ${own[at]}`)
      }),
      { seed: SEED, numRuns: SCRIPTS },
    )
  })
})
