import { defineConfig } from "vitest/config";

/** One project per test folder; `npm run test:<project>` runs one of them. `concurrency` is that of tests that mostly wait. */
const project = (name: string, testTimeoutMs: number, concurrency = 5) => ({
  test: {
    maxConcurrency: concurrency,
    name,
    include: [`test/${name}/**/*.test.ts`],
    testTimeout: testTimeoutMs,
    hookTimeout: testTimeoutMs,
    pool: "forks" as const,
    retry: 0,
  },
});

export default defineConfig({
  test: {
    projects: [
      project("unit", 30_000),
      project("conformance", 60_000),
      project("integration", 60_000),
      project("faults", 120_000),
      project("interop", 600_000),
      project("netns", 240_000, 8),
      project("e2e", 240_000),
      project("soak", 1_200_000, 16),
    ],
  },
});
