#!/usr/bin/env node
/**
 * The `tunstack` command. Its own words are read here; what follows a command is that command's business, so that
 * `tunstack ip …` takes the very arguments that `ip` takes.
 */
import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { execCommand } from './exec-command.ts'
import { gatewayCommand } from './gateway-command.ts'
import { ipCommand } from './ip-command.ts'
import { write } from './streams.ts'

const USAGE = `Usage: tunstack ip ARGUMENTS...
       tunstack exec [OPTIONS] -- COMMAND [ARGUMENT...]
       tunstack gateway [OPTIONS]
       tunstack --help | --version

  ip    the language of iproute2 on a stack of its own, which has the devices lo, tun0 and tun1, all down:
        tunstack ip -force -batch FILE    runs the commands of a file (- is the standard input)
        tunstack ip route get 127.0.0.1   runs one
  exec  runs a program of Node whose network is a stack; tunstack exec --help says more
  gateway
        lets who is behind a TUN device, or in a namespace, reach the host's network; tunstack gateway --help says more
`

const COMMANDS: Readonly<Record<string, (args: readonly string[]) => Promise<number>>> = {
  exec: execCommand,
  gateway: gatewayCommand,
  ip: ipCommand,
}

function version(): string {
  const manifest = readFileSync(new URL('../../package.json', import.meta.url), 'utf8')
  return (JSON.parse(manifest) as { version: string }).version
}

function misuse(message: string): number {
  write(2, `tunstack: ${message}\n${USAGE}`)
  return 2
}

async function main(args: readonly string[]): Promise<number> {
  const at = args.findIndex((arg) => !arg.startsWith('-'))
  const own = at < 0 ? args : args.slice(0, at)
  let values: { help?: boolean | undefined; version?: boolean | undefined }
  try {
    const options = {
      help: { type: 'boolean', short: 'h' },
      version: { type: 'boolean', short: 'V' },
    } as const
    values = parseArgs({ args: [...own], options }).values
  } catch (error) {
    return misuse((error as Error).message)
  }
  if (values.help === true) {
    write(1, USAGE)
    return 0
  }
  if (values.version === true) {
    write(1, `tunstack ${version()}\n`)
    return 0
  }
  const name = at < 0 ? undefined : args[at]!
  if (name === undefined) return misuse('a command is needed')
  if (!Object.hasOwn(COMMANDS, name)) return misuse(`there is no command '${name}'`)
  return await COMMANDS[name]!(args.slice(at + 1))
}

main(process.argv.slice(2)).then((status) => {
  process.exitCode = status
})
