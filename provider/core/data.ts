// SPDX-License-Identifier: Apache-2.0
// What a data source says: its schema, and how it is read. Everything that moves by itself is shown here and nowhere else.

import type { TSchema } from '@sinclair/typebox'
import { type Attributes, attributesOf } from './schema'
import type { Members } from './value'
import type { Session } from './world'

export interface DataSource {
  /** As Terraform names it, `inkev_host`. */
  type: string
  description: string
  attributes: Attributes
  /** The whole object, the configuration included. */
  read(session: Session, config: Members): Promise<Members>
}

/** The attributes of an object that is answered; none of it can be given. */
export function answersOf(schema: TSchema): Attributes {
  return asAnswers(attributesOf(schema))
}

function asAnswers(attributes: Attributes): Attributes {
  return Object.fromEntries(
    Object.entries(attributes).map(([name, { shape, source, attributes: nested }]) => [
      name,
      { shape, source, computed: true, ...(nested && { attributes: asAnswers(nested) }) }
    ])
  )
}
