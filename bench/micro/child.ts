/** `child.ts CASE MILLISECONDS`: measures one case and prints a number. */
import { CASES } from './cases.ts'

const [name, milliseconds] = process.argv.slice(2) as [string, string]
console.log(JSON.stringify(await CASES[name]!({ milliseconds: Number(milliseconds) })))
