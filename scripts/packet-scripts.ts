/**
 * Plays packet scripts of others against the stack, in virtual time, and says which of them it passes.
 *
 *     node --import tsx scripts/packet-scripts.ts FOLDER|FILE…
 *
 * The scripts are packetdrill's: those of the Linux kernel are in its source under
 * tools/testing/selftests/net/packetdrill. Only TCP over IPv4 is played; what a script asks for beyond that is
 * named, and the script left out of the count.
 */
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { basename, join } from 'node:path'
import { NotPlayable } from '../test/packet-script/not-playable.ts'
import { Player } from '../test/packet-script/play.ts'
import { parseScript, ScriptError } from '../test/packet-script/script.ts'

const files = process.argv.slice(2).flatMap((name) =>
  statSync(name).isDirectory()
    ? readdirSync(name, { recursive: true, encoding: 'utf8' })
        .filter((file) => file.endsWith('.pkt'))
        .sort()
        .map((file) => join(name, file))
    : [name],
)
if (files.length === 0) {
  console.error('say which scripts: files, or folders of them')
  process.exit(2)
}
let passed = 0
let failed = 0
let left = 0
for (const file of files) {
  const name = basename(file, '.pkt')
  try {
    await new Player(parseScript(readFileSync(file, 'utf8'))).play()
    passed++
    console.log(`pass ${name}`)
  } catch (error) {
    const { message } = error as Error
    if (error instanceof NotPlayable || error instanceof ScriptError) {
      left++
      console.log(`not played ${name}: ${message}`)
    } else {
      failed++
      console.log(`FAIL ${name}: ${message}`)
    }
  }
}
console.log(`${passed} passed, ${failed} failed, ${left} not played`)
process.exitCode = failed > 0 ? 1 : 0
