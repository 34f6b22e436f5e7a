// SPDX-License-Identifier: Apache-2.0
// What jest does before the first test of the catalogue.

import { beginCounting } from './counted'

export default beginCounting
