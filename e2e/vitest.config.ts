import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['tests/**/*.test.ts'],
    globalSetup: ['harness/global-market.ts'],
    testTimeout: 180_000,
    hookTimeout: 180_000,
    // One market, one engine, two cores: files run one after the other, so that none waits for another's load.
    fileParallelism: false,
  },
});
