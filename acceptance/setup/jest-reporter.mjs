// SPDX-License-Identifier: Apache-2.0
// A jest reporter that tells each test as it ends, one JSON object a line: {suite, name, status, seconds, why}.

import { relative } from 'node:path'

export default class LineReporter {
  onTestCaseResult(test, { fullName, status, duration, failureMessages }) {
    tell(test, { name: fullName, status, seconds: (duration ?? 0) / 1000, why: failureMessages.join('\n') })
  }

  /** A file that fails before its first test counts as one failed test. */
  onTestResult(test, { testExecError, failureMessage }) {
    if (testExecError) tell(test, { name: 'runs at all', status: 'failed', seconds: 0, why: failureMessage })
  }
}

function tell(test, result) {
  const { rootDir } = test.context.config
  process.stdout.write(`${JSON.stringify({ suite: relative(rootDir, test.path), ...result })}\n`)
}
