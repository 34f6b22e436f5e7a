// SPDX-License-Identifier: Apache-2.0
// Jest: one project per workspace. `npx jest --selectProjects agent` runs one; acceptance shares labs, so it runs in band.

const project = (displayName, ...roots) => ({
  displayName,
  roots: roots.map(root => `<rootDir>/${root}`),
  testMatch: ['**/*.test.ts'],
  testEnvironment: 'node',
  cacheDirectory: '<rootDir>/.cache/jest',
  moduleFileExtensions: ['ts', 'js', 'cjs', 'json', 'node'],
  modulePathIgnorePatterns: ['/dist/', '/build/', '/\\.cache/'],
  transform: { '\\.ts$': ['@swc/jest', { jsc: { target: 'es2022', parser: { syntax: 'typescript' } }, sourceMaps: 'inline' }] }
})

module.exports = {
  testTimeout: 30_000,
  projects: [
    { ...project('bpf', 'bpf'), globalSetup: '<rootDir>/bpf/testing/before-all.ts', globalTeardown: '<rootDir>/bpf/testing/after-all.ts' },
    project('native', 'native'),
    project('agent', 'agent'),
    project('provider', 'provider/core'),
    { ...project('acceptance', 'acceptance'), setupFilesAfterEnv: ['<rootDir>/acceptance/patience.ts'] }
  ]
}
