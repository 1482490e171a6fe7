import { defineConfig } from 'vitest/config';

const elsewhere = [
  'test/**/*.slow.test.ts',
  'test/**/*.browser.test.ts',
  'test/**/*.e2e.test.ts',
  'test/shared/**',
];

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'unit',
          include: ['test/**/*.test.ts'],
          exclude: elsewhere,
          // A machine may be busy; nothing here takes long by itself.
          testTimeout: 30_000,
          sequence: { groupOrder: 0 },
        },
      },
      {
        // Whole runs, killed runs, measured models: minutes, one at a time, after the unit tests.
        test: {
          name: 'slow',
          include: ['test/**/*.slow.test.ts'],
          testTimeout: 600_000,
          hookTimeout: 600_000,
          fileParallelism: false,
          sequence: { groupOrder: 1 },
        },
      },
      {
        // Needs a Chromium: npm run test:browser.
        test: {
          name: 'browser',
          include: ['test/**/*.browser.test.ts'],
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      },
      {
        // Needs Python to install act with: npm run test:e2e.
        test: {
          name: 'e2e',
          include: ['test/**/*.e2e.test.ts'],
          testTimeout: 600_000,
          hookTimeout: 600_000,
          fileParallelism: false,
        },
      },
      {
        // Needs ../shared (real models and exports that are too large to live here): npm run test:shared.
        test: {
          name: 'shared',
          include: ['test/shared/**/*.shared.test.ts'],
          testTimeout: 900_000,
          hookTimeout: 900_000,
          fileParallelism: false,
        },
      },
    ],
  },
});
