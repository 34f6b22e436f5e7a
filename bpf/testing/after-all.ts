// SPDX-License-Identifier: Apache-2.0
// What jest does after the last test of the catalogue: throws where a run of all tests has not seen every counter move.

import { endCounting } from './counted'

export default endCounting
