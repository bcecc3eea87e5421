/**
 * What a scenario saw, in order, as text: events, errors with all that a program can read of them, bytes. Ports are
 * named in the order in which they appear, so that two runs can be compared.
 */
import type { Server, Socket } from 'node:net'

export class Recorder {
  readonly lines: string[] = []
  readonly #ports = new Map<number, string>()

  /** A port by the name under which the record has it. */
  name(port: number, as: string): void {
    this.#ports.set(port, as)
  }

  note(...what: unknown[]): void {
    this.lines.push(what.map((each) => this.text(each)).join(' '))
  }

  text(value: unknown): string {
    if (value instanceof Error) return this.error(value)
    if (value instanceof Uint8Array) return `<${Buffer.from(value).toString('latin1')}>`
    if (typeof value === 'string') return this.#withoutPorts(value)
    if (typeof value === 'object' && value !== null) {
      return `{${Object.entries(value)
        .map(([key, each]) => `${key}:${this.text(each)}`)
        .join(',')}}`
    }
    if (typeof value === 'number') return this.#ports.get(value) ?? String(value)
    return String(value)
  }

  error(error: Error): string {
    const details = error as NodeJS.ErrnoException & {
      address?: string
      port?: number
      localAddress?: string
      hostname?: string
      errors?: Error[]
    }
    const { code, errno, syscall, address, port, hostname } = details
    const inner =
      details.errors === undefined ? '' : ` [${details.errors.map((each) => this.error(each)).join('; ')}]`
    const fields = { code, errno, syscall, address, port, hostname }
    return `${error.name}(${this.#withoutPorts(error.message)})${this.text(
      Object.fromEntries(Object.entries(fields).filter(([, each]) => each !== undefined)),
    )}${inner}`
  }

  /** Notes each event of a socket, under a name. */
  socket<T extends Socket>(socket: T, as: string, options: { data?: boolean } = {}): T {
    const seen = (event: string, ...details: unknown[]): void => this.note(as, event, ...details)
    socket.on('connect', () => seen('connect'))
    socket.on('ready', () => seen('ready'))
    socket.on('lookup', (error, address, family, host) => seen('lookup', error, address, family, host))
    socket.on('end', () => seen('end'))
    socket.on('finish', () => seen('finish'))
    socket.on('close', (hadError) => seen('close', hadError))
    socket.on('error', (error) => seen('error', error))
    socket.on('timeout', () => seen('timeout'))
    socket.on('drain', () => seen('drain'))
    if (options.data !== false) socket.on('data', (chunk) => seen('data', chunk))
    return socket
  }

  /** Notes each event of a server. */
  server(server: Server, as = 'server'): Server {
    server.on('listening', () => this.note(as, 'listening'))
    server.on('connection', () => this.note(as, 'connection'))
    server.on('close', () => this.note(as, 'close'))
    server.on('error', (error) => this.note(as, 'error', error))
    server.on('drop', (data) => this.note(as, 'drop', Object.keys(data ?? {}).join()))
    return server
  }

  #withoutPorts(text: string): string {
    return text.replace(/(?<=[:.\]\d]):?(\d{1,5})\b/g, (all, digits: string) => {
      const name = this.#ports.get(Number(digits))
      return name === undefined ? all : all.replace(digits, name)
    })
  }
}
