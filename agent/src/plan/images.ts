// SPDX-License-Identifier: Apache-2.0
// What the maps of each instance should hold, in bytes. Remembers the last answer for each: most instances stay as they are.

import { isDeepStrictEqual } from 'node:util'
import type { MapSpec } from '@inkev/bpf/catalogue/btf'
import { configEntry } from '@inkev/bpf/catalogue/config'
import type { FunctionKind, Image, Surroundings } from '@inkev/bpf/catalogue/define'
import type { Graph, Instance } from '../model/graph'
import { type Numbers, Situation } from '../model/surroundings'
import { digestOf } from './digest'
import type { Encoder } from './encoder'
import type { ImageWish } from './state'

export interface CompiledCode {
  name: string
  digest: string
  spec: { maps: ReadonlyMap<string, MapSpec> }
}

/** What the agent must know of compiled objects. */
export interface CompiledObjects {
  get(name: string): CompiledCode
  of(kind: FunctionKind): CompiledCode
}

/** The generation of an instance's image, kept over restarts: it counts up when the image changes. */
export interface Generation {
  generation: number
  /** Names all that the image was made of. */
  digest: string
}

export interface ImagesMade {
  images: Map<string, ImageWish>
  generations: Map<string, Generation>
  /** Instances of which no image could be made: a fault of their kind, or of its compiled object. */
  failures: Map<string, Error>
}

interface Made {
  config: unknown
  surroundings: string
  object: string
  generation: Generation
  wish: ImageWish
  /** Whether the image is the same at any generation. */
  ageless: boolean
  labels: Image['labels']
}

export class Images {
  private readonly made = new Map<string, Made>()

  constructor(
    private readonly objects: CompiledObjects,
    private readonly encoder: Encoder
  ) {}

  /** `stored` are the generations so far; those in `generations` must be stored before the images are used. */
  make(graph: Graph, numbers: Numbers, stored: ReadonlyMap<string, Generation>): ImagesMade {
    for (const key of this.made.keys()) if (!graph.instances.has(key)) this.forget(key)
    const result: ImagesMade = { images: new Map(), generations: new Map(), failures: new Map() }
    const situation = new Situation(graph, numbers)
    for (const [key, instance] of graph.instances)
      try {
        const { wish, generation } = this.makeOne(instance, situation.of(instance), stored.get(key))
        result.images.set(key, wish)
        if (stored.get(key)?.digest !== generation.digest) result.generations.set(key, generation)
      } catch (error) {
        result.failures.set(key, error as Error)
      }
    return result
  }

  /** What the operator calls keys that are numbers. */
  labels(key: string): Image['labels'] {
    return this.made.get(key)?.labels
  }

  private forget(key: string): void {
    this.made.delete(key)
    this.encoder.forget(key)
  }

  private makeOne(instance: Instance, situation: Omit<Surroundings, 'generation'>, stored: Generation | undefined): Made {
    const { key, kind, config } = instance
    const { digest: object, spec } = this.objects.of(kind)
    const surroundings = JSON.stringify(situation)
    const before = this.made.get(key)
    const sameCode = before?.object === object && before.config === config
    if (before && sameCode && before.surroundings === surroundings && before.generation.digest === stored?.digest) return before

    const digest = digestOf(object, JSON.stringify(config), surroundings)
    const imageAt = (generation: number): Made => {
      let ageless = true
      const around: Surroundings = {
        ...situation,
        get generation() {
          ageless = false
          return generation
        }
      }
      const image: Image = kind.image?.(config as never, around) ?? { maps: {} }
      const wish = encodeImage(this.encoder, spec.maps, instance, image)
      return { config, surroundings, object, generation: { generation, digest }, wish, ageless, labels: image.labels }
    }
    const made = makeNext(imageAt, stored, digest, sameCode ? before : undefined)
    this.made.set(key, made)
    return made
  }
}

/** `before` is the last image where only the surroundings are others since. */
function makeNext(imageAt: (generation: number) => Made, stored: Generation | undefined, digest: string, before: Made | undefined): Made {
  const last = stored?.generation ?? 0
  if (stored?.digest === digest) return imageAt(last)
  const again = before && before.generation.generation === last ? imageAt(last) : undefined
  if (again && isDeepStrictEqual(again.wish, before?.wish)) return again
  return again?.ageless ? { ...again, generation: { generation: last + 1, digest } } : imageAt(last + 1)
}

export function encodeImage(
  encoder: Encoder,
  specs: ReadonlyMap<string, MapSpec>,
  { key, kind, config }: Pick<Instance, 'key' | 'kind' | 'config'>,
  image: Image
): ImageWish {
  const scalars = configEntry(kind, config)
  const maps = { ...image.maps, ...(scalars && { config: [scalars] }) }
  const counted = Object.entries(image.labels ?? {}).filter(([map]) => !(map in maps))
  return {
    maps: new Map(Object.entries(maps).map(([map, entries]) => [map, encoder.encode(key, specs, map, entries)])),
    commit: new Map(image.commit ? [[image.commit.map, encoder.encode(key, specs, image.commit.map, image.commit.entries)]] : []),
    allowed: new Map(counted.map(([map, names]) => [map, new Set(Object.keys(names).map(name => encodeKey(specs.get(map), name)))]))
  }
}

/** A key in text: a number, or what the type has words for, such as an address. */
function encodeKey(spec: MapSpec | undefined, key: string): string {
  return spec!.key!.encode(/^\d+$/.test(key) ? BigInt(key) : key).toString('hex')
}
