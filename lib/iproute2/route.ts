/** `ip route`: its verbs, in the order in which a shortened one is compared. */
import type { Command } from './command.ts'
import { restoreRoutes, showRouteDump } from './dump.ts'
import { getRoute } from './route-get.ts'
import { flushRoutes, saveRoutes, showRoutes } from './route-list.ts'
import { modifyRoute, type RouteVerb } from './route-modify.ts'
import { usage } from './usage.ts'
import { abbreviates, abbreviatesAny, unknownCommand, type Words } from './words.ts'

const MODIFIERS: readonly (readonly [string, RouteVerb])[] = [
  ['add', 'add'],
  ['change', 'change'],
  ['chg', 'change'],
  ['replace', 'replace'],
  ['prepend', 'prepend'],
  ['append', 'append'],
  ['test', 'test'],
  ['delete', 'delete'],
]

export function route(command: Command, words: Words): number {
  if (words.done) return showRoutes(command, words)
  const { word } = words
  words.skip()
  const modifier = MODIFIERS.find(([name]) => (name === 'chg' ? word === name : abbreviates(word, name)))
  if (modifier !== undefined) return modifyRoute(command, words, modifier[1])
  if (abbreviatesAny(word, 'list', 'show', 'lst')) return showRoutes(command, words)
  if (abbreviates(word, 'get')) return getRoute(command, words)
  if (abbreviates(word, 'flush')) return flushRoutes(command, words)
  if (abbreviates(word, 'save')) return saveRoutes(command, words)
  if (abbreviates(word, 'restore')) return restoreRoutes(command)
  if (abbreviates(word, 'showdump')) return showRouteDump(command)
  if (abbreviates(word, 'help')) throw usage('route')
  throw unknownCommand(word, 'route help')
}
