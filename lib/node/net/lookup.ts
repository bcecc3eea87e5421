/** How names become addresses, wherever a program or a stack can say it. */
import type { LookupAddress, LookupOptions } from 'node:dns'

/** As `dns.lookup`; what `lookup` of the options of `connect` takes. */
export type LookupFunction = (
  hostname: string,
  options: LookupOptions,
  callback: (error: NodeJS.ErrnoException | null, address: string | LookupAddress[], family?: number) => void,
) => void
