/** The table on disk: bytes for each algorithm, path and seed; and what differs from it. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { CONGESTION_CONTROLS } from '../../../lib/sysctl/tcp-settings.ts'
import { goodput, PATHS, type Path, SECONDS, SEEDS } from './paths.ts'

export const ALGORITHMS: readonly string[] = CONGESTION_CONTROLS

const FILE = join(import.meta.dirname, 'goodput.json')

/** By `algorithm: row: column`, the bytes of each seed. */
export type Golden = Record<string, number[]>

export function nameOf(algorithm: string, { row, column }: Path): string {
  return `${algorithm}: ${row}: ${column}`
}

export function readGolden(): Golden {
  return JSON.parse(readFileSync(FILE, 'utf8')) as Golden
}

export function writeGolden(golden: Golden): void {
  const lines = Object.entries(golden).map(
    ([name, bytes]) => `  ${JSON.stringify(name)}: [${bytes.join(', ')}]`,
  )
  writeFileSync(FILE, `{\n${lines.join(',\n')}\n}\n`)
}

/** Bytes in {@link SECONDS} as Mbit/s. */
export function mbit(bytes: number): number {
  return (bytes * 8) / SECONDS / 1e6
}

export function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]!
}

/** Measures everything, or what `wanted` picks. @param progress told of each cell */
export async function measure(
  wanted: (algorithm: string, path: Path, index: number) => boolean = () => true,
  seeds: readonly number[] = SEEDS,
  progress: (name: string) => void = () => undefined,
): Promise<Golden> {
  const golden: Golden = {}
  for (const algorithm of ALGORITHMS) {
    for (const [index, path] of PATHS.entries()) {
      if (!wanted(algorithm, path, index)) continue
      const name = nameOf(algorithm, path)
      progress(name)
      golden[name] = []
      for (const seed of seeds) golden[name].push(await goodput(path, algorithm, seed))
    }
  }
  return golden
}

/** One line for each cell of `now` that is not what `then` says. */
export function differences(then: Golden, now: Golden): string[] {
  return Object.entries(now).flatMap(([name, bytes]) => {
    const before = then[name]
    if (before === undefined) return [`${name}: not in the table`]
    if (bytes.every((value, i) => value === before[i])) return []
    const [old, fresh] = [median(before.slice(0, bytes.length)), median(bytes)].map(mbit) as [number, number]
    const change = ((fresh / old - 1) * 100).toFixed(1)
    return [`${name}: ${old.toFixed(2)} → ${fresh.toFixed(2)} Mbit/s (${fresh >= old ? '+' : ''}${change} %)`]
  })
}
