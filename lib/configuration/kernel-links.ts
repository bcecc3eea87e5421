/** Devices, from `ip -j link show`. */
import { LinkFlag } from '../device/link-device.ts'
import { FLAG_NAMES } from './decode.ts'
import type { NameLookup } from './kernel-names.ts'
import { type Row, rowsOf, type Skips, take, Untaken } from './kernel-row.ts'
import type { LinkModel } from './model.ts'

/** Loopback of any stack: index, name and flags. */
const LOOPBACK_NAME = 'lo'
const UNBOUNDED = 0x7fffffff

export function readLinks(output: unknown, names: NameLookup, skips: Skips): LinkModel[] {
  const links: LinkModel[] = []
  for (const [row] of rowsOf(output, 'link')) {
    const link = take(row, skips, (each) => readLink(each, names))
    if (link !== undefined) links.push(link)
  }
  return links
}

function readLink(row: Row, names: NameLookup): LinkModel {
  const words = row.strings('flags')
  const up = words.includes('UP')
  const loopback = words.includes('LOOPBACK')
  const name = row.string('ifname')
  if (loopback !== (name === LOOPBACK_NAME)) {
    throw new Untaken(`a stack has one loopback device, and its name is ${LOOPBACK_NAME}`)
  }
  let flags = 0
  for (const [flag, word] of FLAG_NAMES) if (words.includes(word)) flags |= flag
  // What the link layer has, and what hardware does, is of no concern to routing.
  row.ignore(
    'link',
    'link_index',
    'link_netnsid',
    'link_type',
    'address',
    'broadcast',
    'permaddr',
    'linkmode',
  )
  row.ignore('promiscuity', 'allmulti', 'inet6_addr_gen_mode', 'num_tx_queues', 'num_rx_queues', 'linkinfo')
  row.ignore('gso_max_size', 'gso_max_segs', 'tso_max_size', 'tso_max_segs', 'gro_max_size', 'parentbus')
  row.ignore('parentdev', 'altnames', 'ifalias', 'master', 'gso_ipv4_max_size', 'gro_ipv4_max_size')
  row.ignore(
    'addr_info',
    'phys_port_name',
    'phys_port_id',
    'phys_switch_id',
    'vfinfo_list',
    'carrier_changes',
  )
  const operstate = row.get('operstate')
  // Of a device that is down nobody knows: it counts as plugged in.
  const carrier = !up || words.includes('LOWER_UP')
  const maxMtu = row.number('max_mtu', loopback ? 0 : 65535)
  const mtu = row.number('mtu', 1500)
  const index = row.number('ifindex', 0)
  if (loopback && index !== 1) throw new Untaken('the loopback device of a stack has index 1')
  const minMtu = row.number('min_mtu', loopback ? 0 : 68)
  return {
    name,
    index,
    loopback,
    flags: loopback ? LinkFlag.LOOPBACK : flags,
    mtu,
    minMtu: Math.min(minMtu, mtu),
    maxMtu: maxMtu === 0 ? UNBOUNDED : Math.max(maxMtu, mtu),
    txQueueLength: row.number('txqlen', 0),
    qdisc: String(row.get('qdisc') ?? 'noop'),
    group: row.named('group', (value) => names.number('groups', value), 0),
    up,
    carrier,
    carrierSeen: up && carrier && operstate === 'UP',
  }
}
