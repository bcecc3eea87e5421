/** Addresses, from `ip -j address show`. */
import { FOREVER } from '../route/inet-address.ts'
import type { NameLookup } from './kernel-names.ts'
import { Row, rowsOf, type Skips, take, Untaken } from './kernel-row.ts'
import type { AddressModel, LinkModel } from './model.ts'

export function readAddresses(
  output: unknown,
  links: readonly LinkModel[],
  names: NameLookup,
  skips: Skips,
): AddressModel[] {
  const addresses: AddressModel[] = []
  const known = new Set(links.map(({ name }) => name))
  for (const [device] of rowsOf(output, 'address')) {
    const list = device.get('addr_info')
    if (!Array.isArray(list)) continue // older versions print an empty row for what is filtered out
    list.forEach((values: unknown, index) => {
      const row = new Row(values as Record<string, unknown>, `${device.path}.addr_info[${index}]`)
      if (row.values['family'] === undefined) return
      const name = device.get('ifname')
      const address = take(row, skips, (each) => {
        if (typeof name !== 'string' || !known.has(name))
          throw new Untaken(`its device ${String(name)} is not there`)
        return readAddress(each, name, names)
      })
      if (address !== undefined) addresses.push(address)
    })
  }
  return addresses
}

function readAddress(row: Row, device: string, names: NameLookup): AddressModel {
  const family = row.get('family')
  if (family !== 'inet')
    throw new Untaken(family === 'inet6' ? 'a stack has no IPv6' : `family ${String(family)}`)
  const local = row.address('local', 0)
  const valid = row.number('valid_life_time', FOREVER)
  // What follows from the rest.
  row.ignore('secondary', 'dynamic', 'temporary')
  const deprecated = row.has('deprecated')
  const preferred = row.number('preferred_life_time', FOREVER)
  const label = row.get('label')
  return {
    device,
    local,
    peer: row.address('address', local),
    prefixLength: row.number('prefixlen', 32),
    broadcast: row.address('broadcast', 0),
    scope: row.named('scope', (value) => names.number('scopes', value), 0),
    label: typeof label === 'string' ? label : device,
    noprefixroute: row.has('noprefixroute'),
    metric: row.number('metric', 0),
    valid: valid === FOREVER ? FOREVER : Math.max(1, valid),
    preferred: deprecated ? 0 : preferred,
    protocol: row.named('protocol', (value) => ADDRESS_PROTOCOLS[String(value)] ?? Number(value), 0),
  }
}

/** `IFAPROT_*` */
const ADDRESS_PROTOCOLS: Readonly<Record<string, number>> = {
  unspec: 0,
  kernel_lo: 1,
  kernel_ra: 2,
  kernel_ll: 3,
}
