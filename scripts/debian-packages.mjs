/**
 * What the tests and the demonstration need from Debian beyond Node and npm, in one list, and how it gets
 * there: looked for first, installed when this is root, named exactly (with the command) when it is not.
 */
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'

/** By package: the commands or files that show it is there, and what it is for. */
export const DEBIAN_PACKAGES = {
  procps: { commands: ['sysctl'], why: 'sets the kernel up as the stack is (sysctl)' },
  gcc: { commands: ['cc'], why: 'compiles the TUN driver (native/)' },
  'libc6-dev': { files: ['/usr/include/stdio.h'], why: 'the C headers that the TUN driver is compiled with' },
  iproute2: {
    commands: ['ip', 'ss', 'nstat', 'tc'],
    why: 'makes namespaces and devices; the kernel side of comparisons',
  },
  'perl-base': { commands: ['perl'], why: 'holds TUN devices open while ip configures them' },
  bsdutils: { commands: ['script'], why: 'gives ip a terminal' },
  'iputils-ping': { commands: ['ping'], why: 'pings the stack' },
  'iputils-tracepath': { commands: ['tracepath'], why: 'finds the path MTU through the stack' },
  traceroute: { commands: ['traceroute'], why: 'shows that the stack answers and forwards as a router' },
  fping: { commands: ['fping'], why: 'pings many addresses at once' },
  'mtr-tiny': { commands: ['mtr'], why: 'watches every hop for loss' },
  curl: { commands: ['curl'], why: 'fetches from the stack over HTTP' },
  'netcat-openbsd': { commands: ['nc'], why: 'speaks UDP and TCP with the stack' },
  socat: { commands: ['socat'], why: 'speaks UDP with the stack: broadcast, groups, large datagrams' },
  iperf3: {
    commands: ['iperf3'],
    why: 'measures against the iperf3 of examples/, both as client and as server',
  },
  wrk: { commands: ['wrk'], why: 'asks an http server as much as it can answer, for npm run bench' },
  tcpdump: { commands: ['tcpdump'], why: 'captures what crosses a device' },
  tshark: { commands: ['tshark'], why: 'says whether any packet of a capture is malformed' },
}

/** What each part needs. */
export const NEEDED_FOR = {
  addon: ['gcc', 'libc6-dev'],
  integration: [
    'gcc',
    'libc6-dev',
    'procps',
    'iproute2',
    'perl-base',
    'bsdutils',
    'iputils-ping',
    'iputils-tracepath',
    'traceroute',
    'fping',
    'mtr-tiny',
    'curl',
    'netcat-openbsd',
    'socat',
    'iperf3',
    'tcpdump',
    'tshark',
  ],
  demo: ['iproute2', 'iputils-ping'],
  bench: ['iproute2', 'iputils-ping', 'wrk'],
}

/** Where Debian keeps what only root uses; not in everybody's PATH. */
const ALSO_IN = ['/usr/local/sbin', '/usr/sbin', '/sbin']

function hasCommand(command) {
  const path = (process.env.PATH ?? '').split(delimiter).filter(Boolean)
  return [...path, ...ALSO_IN].some((folder) => existsSync(join(folder, command)))
}

function isThere(name) {
  const { commands = [], files = [] } = DEBIAN_PACKAGES[name]
  return commands.every(hasCommand) && files.every((file) => existsSync(file))
}

/** Those of `names` that are not on this machine. */
export function missing(names) {
  for (const name of names) {
    if (!Object.hasOwn(DEBIAN_PACKAGES, name))
      throw new Error(`scripts/debian-packages.mjs does not list '${name}'`)
  }
  return [...new Set(names)].filter((name) => !isThere(name))
}

/** Says what is missing, and the command that would install it. */
export class MissingPackages extends Error {
  constructor(names, because) {
    const list = names.map((name) => `  ${name}: ${DEBIAN_PACKAGES[name].why}`).join('\n')
    const sudo = process.getuid?.() === 0 ? '' : 'sudo '
    super(
      `${because}; these Debian packages are missing:\n${list}\nInstall them with\n` +
        `  ${sudo}apt-get update && ${sudo}apt-get install --no-install-recommends ${names.join(' ')}\nand run this again.`,
    )
    this.name = 'MissingPackages'
  }
}

function apt(args) {
  const { status, error } = spawnSync('apt-get', args, {
    stdio: ['ignore', 'ignore', 'inherit'],
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
    timeout: 10 * 60_000,
  })
  return error === undefined && status === 0
}

const install = (names) =>
  apt(['install', '-y', '-q', '--no-install-recommends', '-o', 'DPkg::Lock::Timeout=120', ...names])

/** apt-get has been told of packages at all; a fresh container has no lists. */
function aptKnows(names) {
  const { stdout } = spawnSync('apt-cache', ['policy', ...names], { encoding: 'utf8' })
  return (stdout?.match(/^ {2}Candidate: (?!\(none\))/gm) ?? []).length === names.length
}

/**
 * Makes sure that the packages are installed. Nothing runs if they are all there.
 * @throws MissingPackages if they may not (no root, TUNSTACK_NO_APT=1) or could not be installed
 */
export function ensure(names) {
  const wanted = missing(names)
  if (wanted.length === 0) return
  if (process.env.TUNSTACK_NO_APT === '1')
    throw new MissingPackages(wanted, 'TUNSTACK_NO_APT=1 forbids installing')
  if (process.getuid?.() !== 0) throw new MissingPackages(wanted, 'Only root can install packages')
  if (!hasCommand('apt-get')) throw new MissingPackages(wanted, 'There is no apt-get here')

  console.log(`installing from Debian: ${wanted.join(' ')}`)
  // Package lists that are older than the archive name files that are gone; then they are fetched afresh.
  if (!(aptKnows(wanted) && install(wanted))) {
    console.log('apt-get update')
    apt(['update', '-q'])
    install(wanted)
  }
  const left = missing(wanted)
  if (left.length > 0) throw new MissingPackages(left, 'apt-get did not install everything')
}
