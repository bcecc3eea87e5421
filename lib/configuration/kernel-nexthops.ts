/** Nexthop objects, from `ip -j nexthop show`. */
import { Scope } from '../route/rtnetlink.ts'
import type { NameLookup } from './kernel-names.ts'
import { Row, rowsOf, type Skips, take, Untaken } from './kernel-row.ts'
import type { LinkModel, NexthopModel } from './model.ts'

export function readNexthops(
  output: unknown,
  links: readonly LinkModel[],
  names: NameLookup,
  skips: Skips,
): NexthopModel[] {
  if (output === undefined) return []
  const devices = new Set(links.map(({ name }) => name))
  const found: NexthopModel[] = []
  for (const [row] of rowsOf(output, 'nexthop')) {
    const model = take(row, skips, (each) => read(each, devices, names, skips))
    if (model !== undefined) found.push(model)
  }
  return withWholeGroups(found, skips)
}

/** @throws Untaken */
function read(row: Row, devices: ReadonlySet<string>, names: NameLookup, skips: Skips): NexthopModel {
  const id = row.number('id', 0)
  if (id === 0) throw new Untaken('it has no number')
  if (row.has('encap')) throw new Untaken('a stack has no encapsulation of light-weight tunnels')
  if (row.has('fdb')) throw new Untaken('a stack has no bridges')
  if (row.has('via')) throw new Untaken('its gateway has an address of another family')
  const group = row.get('group')
  const dev = row.get('dev')
  if (dev !== undefined && (typeof dev !== 'string' || !devices.has(dev))) {
    throw new Untaken(`its device ${String(dev)} is not there`)
  }
  const type = row.get('type')
  if (type === 'resilient') {
    row.ignore('resilient_args')
    skips.add(`${row.path}.type`, 'a stack has no resilient groups: this is an ordinary one', type)
  }
  return {
    id,
    protocol: row.named('protocol', (value) => names.number('protocols', value), 0),
    device: dev === undefined ? null : (dev as string),
    gateway: row.address('gateway', 0),
    onlink: row.strings('flags').includes('onlink'),
    // Its value is null: it is there or not.
    blackhole: row.get('blackhole') !== undefined,
    scope: row.named('scope', (value) => names.number('scopes', value), Scope.UNIVERSE),
    members: Array.isArray(group) ? group.map((values: unknown, index) => member(values, row, index)) : null,
  }
}

/** @throws Untaken */
function member(values: unknown, { path }: Row, index: number): { id: number; weight: number } {
  const part = new Row(values as Record<string, unknown>, `${path}.group[${index}]`)
  return { id: part.number('id', 0), weight: part.number('weight', 1) }
}

/** A group is nothing without all of its members. */
function withWholeGroups(models: readonly NexthopModel[], skips: Skips): NexthopModel[] {
  const ids = new Set(models.map(({ id }) => id))
  return models.filter((model) => {
    const missing = model.members?.find(({ id }) => !ids.has(id))
    if (missing !== undefined) {
      skips.add(`nexthop of number ${model.id}`, `its member ${missing.id} is not in the stack`, model)
    }
    return missing === undefined
  })
}
