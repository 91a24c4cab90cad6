import type { it } from "vitest";

/** How a check is registered: `it`, or `it.fails` where it has to go red. */
export type Check = typeof it.fails;
