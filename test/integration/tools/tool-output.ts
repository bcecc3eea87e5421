/** What ping, traceroute, tracepath and mtr print, without what depends on when, and how fast, they ran. */
import type { Result } from '../netns.ts'

/** With `…` for times, single spaces for columns, and the exit status behind. */
export function masked({ stdout, stderr, status }: Result): string {
  const text = stdout
    .replace(/time=[\d.]+ ms/g, 'time=…')
    .replace(/ time \d+ms$/m, '')
    .replace(/^rtt .*$/m, 'rtt …')
    // Without room for a time in the packet there is no rtt, but still how many requests were under way at once.
    .replace(/^pipe \d+$/m, '')
    .replace(/-?\d+ absolute/g, '… absolute')
    .replace(/^(TS: |)\t((?:[\d.]+\t|)) *-?\d+$/gm, '$1\t$2…')
    .replace(/\d+\.\d+ ?ms/g, '… ms')
    .replace(/ +/g, ' ')
    .replace(/ +$/gm, '')
  return `${text}${stderr}status ${status}`
}
