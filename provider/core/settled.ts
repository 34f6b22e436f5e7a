// SPDX-License-Identifier: Apache-2.0
// Work on several hosts at once.

/** Does the same on several hosts at once, and waits for all, so that after a failure nothing is still under way. Throws AggregateError. */
export async function settled<T>(hosts: string[], work: (host: string) => Promise<T>): Promise<T[]> {
  const results = await Promise.allSettled(hosts.map(work))
  const failures = results.filter(result => result.status === 'rejected')
  if (failures.length > 0) throw new AggregateError(failures.map(({ reason }) => reason))
  return results.map(result => (result as PromiseFulfilledResult<T>).value)
}
