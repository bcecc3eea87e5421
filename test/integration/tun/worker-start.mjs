/** Starts a TypeScript worker: Node 20 does not apply `--import tsx` to the main module of a worker thread. */
import { register } from 'tsx/esm/api'

register()
await import('./echo-worker.ts')
