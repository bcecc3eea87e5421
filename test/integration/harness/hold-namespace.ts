/** Makes a namespace with a program in it, prints its name and the program's process id, and waits. */
import { Testbed } from '../netns.ts'

const host = new Testbed().namespace('held')
const { pid } = await host.start('sleep 60')
console.log(`${host.name} ${pid}`)
setInterval(() => {}, 1000)
