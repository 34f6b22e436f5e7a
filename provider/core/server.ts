// SPDX-License-Identifier: Apache-2.0
// The core's gRPC service: one stream carries all calls as JSON messages, each answered when it is done. A Cancel raises the signal of the call it names.

import type { Duplex } from 'node:stream'
import type { ServerDuplexStream, ServiceDefinition } from '@grpc/grpc-js'
// Not the whole of the package: its client takes as long to load as all else of the core.
import { Server } from '@grpc/grpc-js/build/src/server'
import { ServerCredentials } from '@grpc/grpc-js/build/src/server-credentials'
import { log } from './log'
import { methods, type Request, type Response } from './methods'

const MESSAGE_LIMIT = 256 * 1024 * 1024

type Answer = Response & { call: number; error?: string }

const encode = (message: unknown) => Buffer.from(JSON.stringify(message))
const decode = (bytes: Buffer) => JSON.parse(bytes.toString('utf8'))

/** A stream of calls, for a call of its own costs gRPC more than most of what it asks. */
const service: ServiceDefinition = {
  Converse: {
    path: '/inkev.provider.Core/Converse',
    requestStream: true,
    responseStream: true,
    requestSerialize: encode,
    requestDeserialize: decode,
    responseSerialize: encode,
    responseDeserialize: decode
  }
}

const calls = new Map<number, AbortController>()

/** Speaks to the shim over connections that are already made. */
export function serve(): (connection: Duplex) => void {
  const server = new Server({ 'grpc.max_receive_message_length': MESSAGE_LIMIT, 'grpc.max_send_message_length': MESSAGE_LIMIT })
  server.addService(service, { Converse: converse })
  const injector = server.createConnectionInjector(ServerCredentials.createInsecure())
  return connection => injector.injectConnection(connection)
}

function converse(stream: ServerDuplexStream<Request, Answer>): void {
  stream.on('data', async (request: Request) => {
    if (request.method === 'Cancel') return calls.get(request.call)?.abort()
    const answer = await answerTo(request)
    if (!stream.cancelled) stream.write(answer)
  })
  stream.on('end', () => stream.end())
  stream.on('error', error => log('debug', 'the conversation ended', { error: error.message }))
}

async function answerTo(request: Request): Promise<Answer> {
  const { call, method } = request
  const controller = new AbortController()
  calls.set(call, controller)
  try {
    return { call, ...(await methods[method]!(request, controller.signal)) }
  } catch (error) {
    const trace = String((error as Error)?.stack ?? error)
    log('error', `${method} failed`, { stack: trace })
    return { call, error: trace }
  } finally {
    calls.delete(call)
  }
}
