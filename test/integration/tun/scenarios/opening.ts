/** Ways to open a device, and what the kernel then shows of it. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { expect } from 'chai'
import { attach, DRIVER, echo, ip, KERNEL, openTun, ping, pingAddress } from '../bench.ts'

const exists = (name: string): boolean => ip('-br', 'link').includes(`${name} `)

export const opening: Record<string, () => Promise<void>> = {
  async 'open by name'() {
    const tun = await openTun({ name: 'vpn7', address: `${KERNEL}/24`, mtu: 1400, txQueueLength: 1234 })
    expect(tun).to.include({ name: 'vpn7', mtu: 1400 })
    expect(tun.kernel).to.include({ up: true, mtu: 1400, txQueueLength: 1234 })
    const link = ip('-d', 'link', 'show', 'vpn7')
    expect(link).to.match(/POINTOPOINT,MULTICAST,NOARP,UP,LOWER_UP/)
    expect(link).to.match(/mtu 1400 .*qlen 1234/)
    expect(link).to.match(/tun type tun pi off vnet_hdr on/)
    expect(tun.driver).to.equal(DRIVER)
    expect(tun.offload).to.deep.equal({ checksum: true, tso: true, tsoEcn: true, uso: true })
    expect(ip('-4', 'addr', 'show', 'vpn7')).to.contain(`inet ${KERNEL}/24 scope global vpn7`)
    expect(ip('route')).to.contain(`10.9.0.0/24 dev vpn7 proto kernel scope link src ${KERNEL}`)
    expect(tun.kernel.address).to.deep.equal({ address: 0x0a090001, length: 24 })
    expect(tun.kernel.index).to.equal(Number(/^(\d+):/.exec(link)![1]))
    await tun.close()
    expect(exists('vpn7')).to.equal(false)
  },

  async 'name chosen by the kernel'() {
    const plain = await openTun({ up: false })
    const pattern = await openTun({ name: 'vpn%d' })
    const next = await openTun({ name: 'vpn%d' })
    expect([plain.name, pattern.name, next.name]).to.deep.equal(['tun0', 'vpn0', 'vpn1'])
    expect([plain.kernel.up, pattern.kernel.up]).to.deep.equal([false, true])
    expect(plain.kernel.address).to.equal(null)
    await Promise.all([plain.close(), pattern.close(), next.close()])
  },

  async 'point-to-point peer'() {
    const tun = await openTun({ address: '10.9.0.1/32', peer: '10.9.0.2' })
    expect(ip('-4', 'addr', 'show', 'tun0')).to.contain('inet 10.9.0.1 peer 10.9.0.2/32')
    expect(ip('route')).to.contain('10.9.0.2 dev tun0')
    await tun.close()
  },

  async 'existing persistent TUN'() {
    ip('tuntap', 'add', 'dev', 'keep0', 'mode', 'tun')
    ip('addr', 'add', `${KERNEL}/24`, 'dev', 'keep0')
    const tun = await openTun({ name: 'keep0' })
    attach(tun, echo(tun))
    expect(await ping(1, '-W', '2')).to.equal(1)
    await tun.close()
    expect(exists('keep0')).to.equal(true)
    const again = await openTun({ name: 'keep0', persist: false })
    await again.close()
    expect(exists('keep0')).to.equal(false)
  },

  async 'made persistent'() {
    const tun = await openTun({ name: 'keep1', persist: true, owner: 65534, address: `${KERNEL}/24` })
    await tun.close()
    expect(ip('-d', 'link', 'show', 'keep1')).to.match(/persist on user (nobody|65534)/)
    const again = await openTun({ name: 'keep1', up: false })
    expect(again.kernel.address).to.deep.equal({ address: 0x0a090001, length: 24 })
    await again.close()
  },

  async 'renamed from outside'() {
    const tun = await openTun({ address: `${KERNEL}/24` })
    ip('link', 'set', 'tun0', 'down')
    ip('link', 'set', 'tun0', 'name', 'other')
    tun.kernel.up = true
    tun.setMtu(1300)
    expect(ip('link', 'show', 'other')).to.match(/UP.*mtu 1300/)
    await tun.close()
  },

  async 'other device node'() {
    const folder = mkdtempSync(path.join(tmpdir(), 'tunstack-'))
    try {
      const devicePath = path.join(folder, 'node')
      execFileSync('mknod', [devicePath, 'c', '10', '200'])
      const tun = await openTun({ devicePath, address: `${KERNEL}/24` })
      attach(tun, echo(tun))
      expect(await ping(1, '-W', '2')).to.equal(1)
      await tun.close()
    } finally {
      rmSync(folder, { recursive: true })
    }
  },

  async 'several devices at once'() {
    const tuns = await Promise.all([1, 2, 3].map((n) => openTun({ address: `10.9.${n}.1/24` })))
    for (const tun of tuns) attach(tun, echo(tun))
    // Reading happens in this process: it must not block while ping runs.
    const answers = await Promise.all([1, 2, 3].map((n) => pingAddress(`10.9.${n}.2`, 3, '-i', '0.02')))
    expect(answers).to.deep.equal([3, 3, 3])
    await Promise.all(tuns.map((tun) => tun.close()))
  },
}
