/**
 * Settings compared with the kernel's: every name that there is, what it is at first, and which numbers a write of
 * it takes.
 */
import { expect } from 'chai'
import { TunstackError } from '../../lib/errors.ts'
import { Sysctl } from '../../lib/sysctl/sysctl.ts'
import { useTestbed } from './netns.ts'

/** What the kernel derives from the size of its memory, or was configured with when it was built. */
const OF_THE_MACHINE = new Set([
  'net.ipv4.tcp_max_syn_backlog',
  'net.ipv4.tcp_max_tw_buckets',
  'net.ipv4.tcp_rmem',
  'net.ipv4.tcp_wmem',
  'net.ipv4.tcp_congestion_control',
])

/** What only the first namespace shows, for all of them; and where it may, not all of these. */
const OF_ALL_NAMESPACES = /^net\.(core|ipv4\.route)\.|^net\.ipv4\.tcp_(mem|max_orphans)$/

/** Numbers on both sides of every bound. */
const NUMBERS = [
  '-2147483648 -8589935 -8589934 -256 -1 0 1 2 3 31 32 47 48 67 68 100 127 128 255 256 300 301 999 1000',
  '4095 4096 32768 59999 60000 60001 65535 65536 86400 86401 119999 120000 120001 8589934 8589935 2147483647',
]
  .join(' ')
  .split(' ')

describe('sysctl', () => {
  const bed = useTestbed()

  it('has the names and the defaults of a fresh namespace', async () => {
    const host = bed.namespace('host')
    const { stdout } = await host.run(['sysctl', '-a', '-r', '^net\\.(ipv4|core)\\.'])
    const kernel = new Map(
      stdout
        .split('\n')
        .filter((line) => line.includes(' = '))
        .map((line) => line.split(' = ') as [string, string]),
    )
    const sysctl = new Sysctl()
    const ours = sysctl.names().filter((name) => !OF_ALL_NAMESPACES.test(name) || kernel.has(name))
    for (const name of ours) expect(kernel.has(name), name).to.equal(true)
    const compared = ours.filter((name) => !OF_THE_MACHINE.has(name))
    expect(compared.length).to.be.greaterThan(100)
    expect(compared.map((name) => `${name} = ${sysctl.get(name)}`)).to.deep.equal(
      compared.map((name) => `${name} = ${kernel.get(name)}`),
    )
  })

  it('takes for TCP the numbers that the kernel takes', async () => {
    const names = new Sysctl()
      .names()
      .filter((name) => name.startsWith('net.ipv4.tcp_') && name !== 'net.ipv4.tcp_congestion_control')
      .filter((name) => !OF_ALL_NAMESPACES.test(name))
    const host = bed.namespace('host')
    const files = names.map((name) => name.replace('net.ipv4.', ''))
    const script = `cd /proc/sys/net/ipv4
      for file in ${files.join(' ')}; do for number in ${NUMBERS.join(' ')}; do
        if echo $number 2>/dev/null > $file; then echo net.ipv4.$file $number; fi
      done; done`
    const { stdout } = await host.run(['sh', '-c', script])
    // One after the other in both, since what one takes may depend on another.
    const sysctl = new Sysctl()
    const ours = names.flatMap((name) =>
      NUMBERS.filter((number) => {
        try {
          sysctl.set(name, number)
          return true
        } catch (error) {
          if (error instanceof TunstackError && error.code === 'EINVAL') return false
          throw error
        }
      }).map((number) => `${name} ${number}`),
    )
    const kernel = stdout.trim().split('\n')
    expect(ours.filter((line) => !kernel.includes(line))).to.deep.equal([])
    expect(kernel.filter((line) => !ours.includes(line))).to.deep.equal([])
  })
})
