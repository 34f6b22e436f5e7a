// SPDX-License-Identifier: Apache-2.0
// The version of this agent, from its package.

import { version } from '../package.json'

export const VERSION: string = version
