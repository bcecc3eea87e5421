/** The same as `entries.cjs`, with what an ES module imports. */
import * as dgram from 'node:dgram'
import dnsDefault, { lookup } from 'node:dns'
import * as dnsPromises from 'node:dns/promises'
import * as http from 'node:http'
import * as https from 'node:https'
import { connect, createServer, Socket } from 'node:net'
import * as tls from 'node:tls'
import entries from './entries.cjs'

if (dnsDefault.lookup !== lookup) throw new Error('exports of dns differ')
await entries({
  net: { connect, createServer, Socket },
  http,
  https,
  tls,
  dgram,
  dns: { lookup },
  dnsPromises,
})
