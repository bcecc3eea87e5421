/** What the commands of a packet script's shell mean for a stack: sysctls, and what a link does. */
import { ip, type Stack } from '../../lib/index.ts'
import { NotPlayable } from './not-playable.ts'

/** Sysctls as Linux's scripts want them before everything (`./defaults.sh`). */
const DEFAULTS: Readonly<Record<string, string>> = {
  'net.ipv4.tcp_rmem': '4096 540000 15728640',
  'net.ipv4.tcp_wmem': '4096 262144 4194304',
  'net.ipv4.tcp_timestamps': '1',
  'net.ipv4.tcp_syn_retries': '5',
  'net.ipv4.tcp_synack_retries': '5',
  'net.ipv4.tcp_frto': '2',
  'net.ipv4.tcp_sack': '1',
  'net.ipv4.tcp_dsack': '1',
  'net.ipv4.tcp_reordering': '3',
  'net.ipv4.tcp_congestion_control': 'cubic',
  'net.ipv4.tcp_slow_start_after_idle': '0',
  'net.ipv4.tcp_early_retrans': '4',
  'net.ipv4.tcp_recovery': '1',
  'net.ipv4.tcp_ecn': '0',
  'net.ipv4.tcp_syncookies': '1',
}

/** How long Linux waits for a super-segment to grow: the stack does not. */
const IGNORED = new Set(['net.ipv4.tcp_tso_win_divisor'])

/** `$((32*1024*1024))` to its number. */
function arithmetic(text: string): string {
  return text.replace(/\$\(\(([\d*+\s]+)\)\)/g, (_, sum: string) =>
    String(sum.split('*').reduce((product, factor) => product * Number(factor), 1)),
  )
}

/** @throws NotPlayable for what can't be done */
export function setUp(text: string, stack: Stack): void {
  const set = (name: string, value: string): void => {
    if (IGNORED.has(name)) return
    try {
      stack.sysctlSet(name, value)
    } catch (error) {
      throw new NotPlayable(`${name} = ${value}: ${(error as Error).message}`)
    }
  }
  for (const line of arithmetic(text).replace(/\\\n/g, ' ').split(/\n|;/)) {
    const command = line.replace(/#.*/, '').trim()
    if (command === '' || command.includes('sysctl_restore')) continue
    if (command.includes('defaults.sh') || command.includes('defaults_')) {
      for (const [name, value] of Object.entries(DEFAULTS)) set(name, value)
      continue
    }
    // Segments are not joined before the wire here, so there is nothing to turn off.
    if (/^ethtool -K tun0 (tso|gso) off/.test(command)) continue
    if (/^ip route /.test(command)) {
      const { status, stderr } = ip(stack, command.slice(3))
      if (status !== 0) throw new NotPlayable(`${command}: ${stderr.trim()}`)
      continue
    }
    const words = [...command.matchAll(/([\w./]+)="?([^"=]*?)"?(?=\s+[\w./]+=|$)/g)]
    if (!/^(sysctl|\S*set_sysctls\.py)\s/.test(command) || words.length === 0) throw new NotPlayable(command)
    for (const [, name, value] of words)
      set(name!.replace(/^\/proc\/sys\//, '').replaceAll('/', '.'), value!.trim())
  }
}
