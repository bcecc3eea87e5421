/** A host of a simulated network: a {@link Stack} with a name, whose addresses are given to its links one by one. */
import { parseIpv4Prefix } from '../address/ipv4-address.ts'
import { Stack, type StackOptions } from '../stack/stack.ts'

export interface HostOptions {
  /** What it is called in links, captures and messages; `'host1'`, `'router1'`, … by default. */
  name?: string
  /** Settings under their Linux names: `{ 'net.ipv4.ip_default_ttl': 32 }`. */
  sysctl?: Readonly<Record<string, string | number>>
  /** Whether it gets a default route by the first router that it is linked to; `true` by default. */
  defaultRoute?: boolean
}

export class Host extends Stack {
  readonly name: string
  readonly isRouter: boolean
  /** @internal addresses that no link has yet */
  readonly unassigned: string[]
  /** @internal it has none yet, and is to have one */
  wantsDefaultRoute: boolean
  /** @internal links so far */
  links = 0

  /** @internal use `net.host()` */
  constructor(
    name: string,
    isRouter: boolean,
    addresses: readonly string[],
    options: HostOptions,
    stackOptions: StackOptions,
  ) {
    for (const address of addresses) parseIpv4Prefix(address)
    super(stackOptions)
    this.name = name
    this.isRouter = isRouter
    this.unassigned = [...addresses]
    this.wantsDefaultRoute = !isRouter && (options.defaultRoute ?? true)
    if (isRouter) this.sysctlSet('net.ipv4.ip_forward', 1)
    for (const [key, value] of Object.entries(options.sysctl ?? {})) this.sysctlSet(key, value)
  }
}
