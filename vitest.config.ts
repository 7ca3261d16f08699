import { defineConfig } from 'vitest/config';

const UNIT = ['test/unit/**/*.test.ts'];

const shared = {
  pool: 'forks' as const,
  globalSetup: 'test/helpers/build-first.ts',
  testTimeout: 30_000,
  hookTimeout: 60_000,
};

export default defineConfig({
  test: {
    maxWorkers: 2,
    projects: [
      // Units are pure, or clean up after themselves, so their files share a process: starting one for each took two thirds of their time.
      { test: { ...shared, name: 'unit', include: UNIT, isolate: false } },
      { test: { ...shared, name: 'parts', include: ['test/**/*.test.ts'], exclude: UNIT } },
    ],
  },
});
