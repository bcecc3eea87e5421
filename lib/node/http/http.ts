/**
 * `node:http` and `node:https` over a stack: Node's own, with an agent whose connections and servers whose listeners
 * are of the stack. What is said over a connection is Node's doing alone. Node's modules are loaded once they are asked
 * for: a program that has no use for them starts sooner, and may still do with their parser what it likes.
 */
import type http from 'node:http'
import type https from 'node:https'
import { urlToHttpOptions } from 'node:url'
import { type Callback, define, derive, listensAs, withMembers } from '../net/derive.ts'
import { connectSecure, secureServerMethods } from '../tls/tls.ts'

type Options = Record<string, unknown>
type Http = typeof http
type Https = typeof https

/** `node:http` over `net`, which is that of a stack. */
export function createHttp(net: typeof import('node:net')): Http {
  const http = process.getBuiltinModule('node:http')
  const Agent = derive(http.Agent, 'Agent')
  define(Agent.prototype, { createConnection: net.createConnection })
  const Server = derive(http.Server, 'Server')
  define(Server.prototype, listensAs(net))
  const ClientRequest = derive(http.ClientRequest, 'ClientRequest', (args) => withAgent(args, module))
  const request = (...args: unknown[]): http.ClientRequest =>
    Reflect.construct(ClientRequest as Callback, args) as http.ClientRequest
  const module: Http = withMembers(http, {
    Agent,
    Server,
    ClientRequest,
    createServer: (...args: unknown[]) => Reflect.construct(Server as Callback, args),
    request,
    get: (...args: unknown[]) => request(...args).end(),
    globalAgent: Agent({ ...optionsOf(http.globalAgent) }),
  })
  return module
}

/** `node:https` over `net` and `tls`, which are those of a stack. */
export function createHttps(net: typeof import('node:net'), tls: typeof import('node:tls')): Https {
  const https = process.getBuiltinModule('node:https')
  const Agent = derive(https.Agent, 'Agent')
  define(Agent.prototype, {
    createConnection(this: https.Agent, ...args: unknown[]) {
      const options = connectionOptions(args)
      const create = https.Agent.prototype.createConnection as unknown as Callback
      const callback = args.at(-1)
      return connectSecure(net, tls, options, (own) =>
        Reflect.apply(create, this, typeof callback === 'function' ? [own, callback] : [own]),
      )
    },
  })
  const Server = derive(https.Server, 'Server')
  define(Server.prototype, { ...listensAs(net), ...secureServerMethods(tls) })
  const request = (...args: unknown[]): http.ClientRequest =>
    Reflect.apply(https.request as unknown as Callback, https, withAgent(args, module)) as http.ClientRequest
  const module: Https = withMembers(https, {
    Agent,
    Server,
    createServer: (...args: unknown[]) => Reflect.construct(Server as Callback, args),
    request,
    get: (...args: unknown[]) => request(...args).end(),
    globalAgent: Agent({ ...optionsOf(https.globalAgent) }),
  })
  return module
}

/** Arguments of `request`, of which every form is made the one with options, with the agent that they mean. */
function withAgent(
  args: readonly unknown[],
  { Agent, globalAgent }: { Agent: unknown; globalAgent: http.Agent },
): unknown[] {
  const rest = [...args]
  const options: Options = {}
  if (typeof rest[0] === 'string') Object.assign(options, urlToHttpOptions(new URL(rest.shift() as string)))
  else if (rest[0] instanceof URL) Object.assign(options, urlToHttpOptions(rest.shift() as URL))
  if (rest[0] !== undefined && rest[0] !== null && typeof rest[0] !== 'function') {
    Object.assign(options, rest.shift())
  } else if (rest[0] === null || (rest[0] === undefined && rest.length > 0)) rest.shift()
  const { agent } = options
  if (agent === false) options['agent'] = Reflect.construct(Agent as Callback, [])
  else if ((agent === undefined || agent === null) && typeof options['createConnection'] !== 'function') {
    options['agent'] = globalAgent
  }
  return [options, ...rest]
}

/** `createConnection(options)`, or with a port and a host before them. */
function connectionOptions([port, host, options]: readonly unknown[]): Options {
  if (typeof port === 'object' && port !== null) return { ...port }
  const given = typeof host === 'object' && host !== null ? host : options
  return {
    ...(typeof given === 'object' ? given : {}),
    ...(typeof port === 'number' ? { port } : {}),
    ...(typeof host === 'string' ? { host } : {}),
  }
}

/** What the agent that everybody shares was made with, in this version of Node. */
function optionsOf(agent: http.Agent): Options {
  const { path: _, ...options } = (agent as unknown as { options: Options }).options
  return options
}
