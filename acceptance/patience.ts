// SPDX-License-Identifier: Apache-2.0
// Gives every acceptance test the time that real programs may take when one of them is killed.

import { jest } from '@jest/globals'

jest.setTimeout(120_000)
