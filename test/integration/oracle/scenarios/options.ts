/** IP options of every kind, right and wrong: to this host, to be answered, and on their way through it. */
import type { Bytes, IpFields } from '../build-packet.ts'
import type { Scenario } from '../scenario.ts'
import {
  closed,
  each,
  echo,
  forwarded,
  host,
  PEER,
  ping,
  router,
  scenario,
  withSysctl,
  zeros,
} from './setups.ts'

const A = [10, 9, 0, 1]
const H = [10, 9, 0, 2]
const L = [10, 0, 3, 1]
const F = [10, 8, 0, 9]

const withOptions = (
  name: string,
  options: readonly number[],
  fields: Partial<IpFields> = {},
): [string, Bytes][] => [
  [`echo with ${name}`, echo({ options, ...fields })],
  [`UDP to a closed port with ${name}`, closed({ options, ...fields })],
]

/** Options of every kind, right and wrong. */
const OPTIONS: Record<string, readonly number[]> = {
  'NOP NOP NOP EOL (ip-opt-nop)': [1, 1, 1, 0],
  'an unknown option (ip-opt-unknown)': [0x9e, 4, 1, 2],
  'an unknown option that is not copied': [0x1e, 4, 1, 2],
  'garbage behind EOL (ip-opt-eol-garbage)': [0, 9, 8, 7, 6, 5, 4, 3],
  'record route, three slots (ip-opt-rr)': [7, 15, 4, ...zeros(12), 0],
  'record route, one slot': [7, 7, 4, ...zeros(4), 0],
  'record route, one of two slots used': [7, 11, 8, ...A, ...zeros(4), 0],
  'record route, full': [7, 7, 8, ...A, 0],
  'record route, no slot': [7, 3, 4, 0],
  'record route, nine slots': [7, 39, 4, ...zeros(36), 0],
  'record route, pointer 3': [7, 7, 3, ...zeros(4), 0],
  'record route, pointer 5': [7, 11, 5, ...zeros(8), 0],
  'record route, pointer just past': [7, 7, 5, ...zeros(4), 0],
  'record route, pointer 255': [7, 7, 255, ...zeros(4), 0],
  'record route, length 2': [7, 2, 0, 0],
  'record route, length 0': [7, 0, 4, 0],
  'record route, length 1': [7, 1, 4, 0],
  'record route, longer than the header': [7, 12, 4, 0, 0, 0, 0, 0],
  'record route twice': [7, 7, 4, ...zeros(4), 7, 7, 4, ...zeros(4), 0, 0],
  'a type byte at the very end': [1, 1, 1, 7],
  'timestamps, two slots (ip-opt-ts)': [68, 12, 5, 0, ...zeros(8)],
  'timestamps, one of two used': [68, 12, 9, 0, 0, 0, 1, 2, ...zeros(4)],
  'timestamps, full': [68, 8, 9, 0, 0, 0, 1, 2],
  'timestamps, full, overflow 14': [68, 8, 9, 0xe0, 0, 0, 1, 2],
  'timestamps, full, overflow 15': [68, 8, 9, 0xf0, 0, 0, 1, 2],
  'timestamps, no slot': [68, 4, 5, 0],
  'timestamps, length 3': [68, 3, 5, 0],
  'timestamps, pointer 4': [68, 8, 4, 0, ...zeros(4)],
  'timestamps, pointer 6 of 8': [68, 8, 6, 0, ...zeros(4)],
  'timestamps with address, two slots': [68, 20, 5, 1, ...zeros(16)],
  'timestamps with address, one of two used': [68, 20, 13, 1, ...A, 0, 0, 0, 9, ...zeros(8)],
  'timestamps with address, half a slot': [68, 8, 5, 1, ...zeros(4)],
  'timestamps with address, full': [68, 12, 13, 1, ...A, 0, 0, 0, 9],
  'timestamps prespecified, this host first': [68, 20, 5, 3, ...H, ...zeros(4), ...A, ...zeros(4)],
  'timestamps prespecified, this host twice': [68, 20, 5, 3, ...H, ...zeros(4), ...L, ...zeros(4)],
  'timestamps prespecified, another first': [68, 20, 5, 3, ...F, ...zeros(4), ...H, ...zeros(4)],
  'timestamps prespecified, full': [68, 12, 13, 3, ...H, 0, 0, 0, 9],
  'timestamps prespecified, half a slot': [68, 8, 5, 3, ...zeros(4)],
  'timestamps, unknown flag 2': [68, 12, 5, 2, ...zeros(8)],
  'timestamps, unknown flag 15': [68, 12, 5, 15, ...zeros(8)],
  'timestamps twice': [68, 8, 5, 0, ...zeros(4), 68, 8, 5, 0, ...zeros(4)],
  'router alert': [148, 4, 0, 0],
  'router alert, other value': [148, 4, 0, 5],
  'router alert, length 3': [148, 3, 0, 0],
  'record route and timestamps': [7, 11, 4, ...zeros(8), 1, 68, 12, 5, 0, ...zeros(8)],
  'security (130)': [130, 11, ...zeros(9), 0],
  'stream id (136)': [136, 4, 1, 2],
  'CIPSO (134)': [134, 6, 0, 0, 0, 1, 0, 0],
  'an unknown option of length 0': [0x9e, 0, 1, 2],
  'an unknown option of length 1': [0x9e, 1, 1, 2],
  'an unknown option past the end': [0x9e, 5, 1, 2],
}

/** Source routes: the stack refuses them, whatever `accept_source_route` says. */
const SOURCE_ROUTES: Record<string, readonly number[]> = {
  'a loose source route to another host (ip-opt-lsrr)': [131, 7, 4, ...F, 0],
  'a loose source route, ended': [131, 7, 8, ...F, 0],
  'a strict source route to another host': [137, 7, 4, ...F, 0],
  'a strict source route, ended': [137, 7, 8, ...F, 0],
  'a loose source route of length 2': [131, 2, 0, 0],
  'a loose source route, pointer 3': [131, 7, 3, ...F, 0],
  'two source routes': [131, 7, 8, ...F, 131, 7, 8, ...F, 0, 0],
}

const optionEchoes = Object.fromEntries(
  Object.entries(OPTIONS).flatMap(([name, options]) => withOptions(name, options)),
)
const optionForwards = (table: Record<string, readonly number[]>): Record<string, Bytes> =>
  Object.fromEntries(
    Object.entries(table).flatMap(([name, options]) => [
      [`forward ${name}`, forwarded({ options })],
      [`forward with TTL 1 ${name}`, forwarded({ options, ttl: 1 })],
    ]),
  )

export const OPTIONS_SCENARIOS: readonly Scenario[] = [
  scenario('options', host, each(optionEchoes)),
  scenario(
    'options to lo',
    host,
    each(
      Object.fromEntries(
        Object.entries(OPTIONS).map(([name, options]) => [name, ping(PEER, '10.0.3.9', { options })]),
      ),
    ),
  ),
  scenario(
    'options to a broadcast',
    withSysctl(host, { icmp_echo_ignore_broadcasts: 0 }),
    each(
      Object.fromEntries(
        Object.entries(OPTIONS).map(([name, options]) => [name, ping(PEER, '10.9.0.255', { options })]),
      ),
    ),
  ),
  scenario(
    'source routes',
    host,
    each(
      Object.fromEntries(
        Object.entries(SOURCE_ROUTES).flatMap(([name, options]) => withOptions(name, options)),
      ),
    ),
  ),
  scenario('a router and options', router, each(optionForwards(OPTIONS))),
  scenario('a router and source routes', router, each(optionForwards(SOURCE_ROUTES))),
]
