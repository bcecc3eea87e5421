/** Names that need no server: those of a text as `/etc/hosts` has it, and `localhost`. */
import { isIP } from 'node:net'

/** Names, and their addresses. */
export interface Names {
  addresses(name: string, family: 0 | 4 | 6): string[]
  names(address: string): string[]
}

export class Hosts implements Names {
  readonly #addresses = new Map<string, string[]>()
  readonly #names = new Map<string, string[]>()

  /** @param text lines of an address and the names that it has; `#` begins a comment, and what is no address is passed over */
  constructor(text = '') {
    for (const line of [...text.split('\n'), '127.0.0.1 localhost', '::1 localhost']) {
      const [address = '', ...names] = line.replace(/#.*/, '').trim().split(/\s+/)
      if (isIP(address) === 0) continue
      for (const name of names) {
        add(this.#addresses, key(name), address)
        add(this.#names, address, name)
      }
    }
  }

  /** Addresses of a name, of one family or of both (0), in the order of the text. */
  addresses(name: string, family: 0 | 4 | 6): string[] {
    const all = this.#addresses.get(key(name)) ?? []
    return family === 0 ? all : all.filter((address) => isIP(address) === family)
  }

  /** Names of an address, the first being its own. */
  names(address: string): string[] {
    return this.#names.get(address) ?? []
  }
}

/** Names are the same in capitals, and with a dot at the end. */
function key(name: string): string {
  return name.toLowerCase().replace(/\.$/, '')
}

function add(to: Map<string, string[]>, name: string, value: string): void {
  const list = to.get(name)
  if (list === undefined) to.set(name, [value])
  else if (!list.includes(value)) list.push(value)
}
