/** A worker with two open devices, that is terminated or ends by itself. */
import { parentPort, workerData } from 'node:worker_threads'
import { attach, echo, KERNEL, openTun } from './bench.ts'

const tun = await openTun({ address: `${KERNEL}/24` })
attach(tun, echo(tun))
await openTun()
if (workerData === 'exit') process.exit(0)
parentPort!.postMessage('open')
