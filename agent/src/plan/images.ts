// SPDX-License-Identifier: Apache-2.0
// What the maps of each instance should hold, in bytes. Remembers the last answer for each: most instances stay as they are.

import type { MapSpec } from '@inkev/bpf/catalogue/btf'
import { configEntry } from '@inkev/bpf/catalogue/config'
import type { Image, Surroundings } from '@inkev/bpf/catalogue/define'
import type { Graph, Instance } from '../model/graph'
import { type Numbers, surroundingsOf } from '../model/surroundings'
import { asJson, digestOf } from './digest'
import type { Encoder } from './encoder'
import type { ImageWish } from './state'

/** What the agent must know of compiled objects. */
export interface CompiledObjects {
  get(name: string): { digest: string; spec: { maps: ReadonlyMap<string, MapSpec> } }
}

/** The generation of an instance's image, kept over restarts: it counts up when the image changes, and only then. */
export interface Generation {
  generation: number
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
  wish: ImageWish
  generation: Generation
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
    for (const [key, instance] of graph.instances)
      try {
        const { wish, generation } = this.makeOne(graph, numbers, instance, stored.get(key))
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

  private makeOne(graph: Graph, numbers: Numbers, instance: Instance, stored: Generation | undefined): Made {
    const { key, kind, config } = instance
    const { digest: object, spec } = this.objects.get(kind.kind)
    const situation = surroundingsOf(graph, numbers, instance)
    const surroundings = JSON.stringify(situation)
    const before = this.made.get(key)
    const same = before?.config === config && before.surroundings === surroundings && before.object === object
    if (before && same && before.generation.digest === stored?.digest) return before
    const { image, generation } = nextImage(instance, situation, stored)
    const made = {
      config,
      surroundings,
      object,
      generation,
      labels: image.labels,
      wish: encodeImage(this.encoder, spec.maps, instance, image)
    }
    this.made.set(key, made)
    return made
  }
}

/** The image, and its generation: the stored one where it is the image that was made then. */
export function nextImage(
  { kind, config }: Instance,
  situation: Omit<Surroundings, 'generation'>,
  stored: Generation | undefined
): { image: Image; generation: Generation } {
  const imageAt = (generation: number): Image => kind.image?.(config as never, { ...situation, generation }) ?? { maps: {} }
  const last = stored?.generation ?? 0
  if (stored) {
    const image = imageAt(last)
    if (digestOfImage(image) === stored.digest) return { image, generation: stored }
  }
  const image = imageAt(last + 1)
  return { image, generation: { generation: last + 1, digest: digestOfImage(image) } }
}

function digestOfImage(image: Image): string {
  return digestOf(asJson(image))
}

export function encodeImage(
  encoder: Encoder,
  specs: ReadonlyMap<string, MapSpec>,
  { key, kind, config }: Pick<Instance, 'key' | 'kind' | 'config'>,
  image: Image
): ImageWish {
  const scalars = configEntry(kind, config)
  const maps = { ...image.maps, ...(scalars && { config: [scalars] }) }
  return {
    maps: new Map(Object.entries(maps).map(([map, entries]) => [map, encoder.encode(key, specs, map, entries)])),
    commit: new Map(image.commit ? [[image.commit.map, encoder.encode(key, specs, image.commit.map, image.commit.entries)]] : [])
  }
}
