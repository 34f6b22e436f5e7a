// SPDX-License-Identifier: Apache-2.0
// The core's gRPC service: JSON messages, one handler per method, each call with a signal that a later Cancel can raise.

import type { Duplex } from 'node:stream'
import { type handleUnaryCall, Server, ServerCredentials, type ServiceDefinition, status } from '@grpc/grpc-js'
import { log } from './log'
import { methods, type Request, type Response } from './methods'

const MESSAGE_LIMIT = 256 * 1024 * 1024

const calls = new Map<number, AbortController>()

/** Speaks to the shim over connections that are already made. */
export function serve(): (connection: Duplex) => void {
  const server = new Server({ 'grpc.max_receive_message_length': MESSAGE_LIMIT, 'grpc.max_send_message_length': MESSAGE_LIMIT })
  const handlers = {
    ...Object.fromEntries(Object.entries(methods).map(([name, method]) => [name, unary(name, method)])),
    Cancel: unary('Cancel', cancel)
  }
  server.addService(definition(Object.keys(handlers)), handlers)
  const injector = server.createConnectionInjector(ServerCredentials.createInsecure())
  return connection => injector.injectConnection(connection)
}

function definition(names: string[]): ServiceDefinition {
  const encode = (message: unknown) => Buffer.from(JSON.stringify(message))
  const decode = (bytes: Buffer) => JSON.parse(bytes.toString('utf8'))
  return Object.fromEntries(
    names.map(name => [
      name,
      {
        path: `/inkev.provider.Core/${name}`,
        requestStream: false,
        responseStream: false,
        requestSerialize: encode,
        requestDeserialize: decode,
        responseSerialize: encode,
        responseDeserialize: decode
      }
    ])
  )
}

type Method = (request: Request, signal: AbortSignal) => Promise<Response>

function unary(name: string, method: Method): handleUnaryCall<Request, Response> {
  return ({ request }, callback) => {
    const controller = new AbortController()
    if (name !== 'Cancel') calls.set(request.call, controller)
    method(request, controller.signal)
      .then(
        response => callback(null, response),
        error => {
          log('error', `${name} failed`, { stack: String(error?.stack ?? error) })
          callback({ code: status.INTERNAL, details: String(error?.stack ?? error) })
        }
      )
      .finally(() => calls.delete(request.call))
  }
}

async function cancel({ call }: Request): Promise<Response> {
  calls.get(call)?.abort()
  return {}
}
