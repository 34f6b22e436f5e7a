// SPDX-License-Identifier: Apache-2.0
// What the tests of the policer share: time that passes when they say so.

import { type Codec, type ObjectSpec, recordCodec } from '../../catalogue/btf'
import type { TestedFunction } from '../../testing/harness'

const TICKS_PER_SECOND = 64e9

interface Bucket {
  full_at: bigint
  seen: bigint
}

interface Kept {
  bucket: Bucket
  write(bucket: Bucket): void
  remove(): void
}

/** Makes it later for all buckets, as if time had passed. */
export function pass(policer: TestedFunction, seconds: number): void {
  const ticks = BigInt(Math.round(seconds * TICKS_PER_SECOND))
  for (const { bucket, write } of buckets(policer)) write({ full_at: bucket.full_at - ticks, seen: bucket.seen - ticks })
}

/** All buckets are full again. */
export function refill(policer: TestedFunction): void {
  for (const { remove } of buckets(policer)) remove()
}

/** Those that anybody has had, wherever they are kept. */
export function buckets(policer: TestedFunction): Kept[] {
  const others = ['further_buckets', 'flow_buckets'].flatMap(name => {
    const table = policer.table(name)
    return table.entries().map(({ key, value }) => ({
      bucket: value as unknown as Bucket,
      write: (bucket: Bucket) => table.put(key, bucket as never),
      remove: () => table.delete(key)
    }))
  })
  return [...placed(policer), ...others]
}

/** Those in places of their own. */
function placed({ loaded: { object, spec } }: TestedFunction): Kept[] {
  const map = object.maps.get('port_buckets')!
  const codec = codecOf(spec)
  const key = Buffer.alloc(4)
  const all = map.get(key)!
  return taken(all, codec.size).map(bytes => {
    const place = codec.decode(bytes) as unknown as { bucket: Bucket }
    const put = (changed: Buffer) => {
      changed.copy(bytes)
      map.put(key, all)
    }
    return {
      bucket: place.bucket,
      write: bucket => put(codec.encode({ ...place, bucket } as never)),
      remove: () => put(Buffer.alloc(codec.size))
    }
  })
}

/** The records of so many bytes that are not zeros: few of many, and asked for often. */
function taken(bytes: Buffer, size: number): Buffer[] {
  if (bytes.equals(Buffer.alloc(bytes.length))) return []
  if (bytes.length <= size) return [bytes]
  const half = size * Math.ceil(bytes.length / size / 2)
  return [...taken(bytes.subarray(0, half), size), ...taken(bytes.subarray(half), size)]
}

const codecs = new WeakMap<ObjectSpec, Codec>()
function codecOf(spec: ObjectSpec): Codec {
  const codec = codecs.get(spec) ?? recordCodec(spec, 'bucket_place')!
  codecs.set(spec, codec)
  return codec
}
