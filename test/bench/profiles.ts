import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Halves } from "./results.ts";
import { type CpuProfile, type SelfTime, selfTimes } from "./self-times.ts";
import { markdownTable } from "./tables.ts";

/** A profile comes once it is over, and has to be put together first. */
const lateMs = 20_000;
const shownFunctions = 15;

/** What one half did while a way was measured. */
export interface HalfProfile {
  readonly scenario: string;
  readonly way: string;
  readonly half: keyof Halves<unknown>;
  /** Most first. */
  readonly times: readonly SelfTime[];
}

/** CPU profiles of Hawser's halves while they are measured, as they serve them; of several rounds the last. */
export class Profiles {
  readonly #folder: string;
  readonly #taken = new Map<string, HalfProfile>();

  /** Empties the folder. */
  constructor(folder: string) {
    rmSync(folder, { recursive: true, force: true });
    this.#folder = folder;
  }

  get taken(): readonly HalfProfile[] {
    return [...this.#taken.values()];
  }

  /** Resolves after so many milliseconds, once each half that serves profiles has given its own. */
  async take(scenario: string, way: string, ports: Partial<Halves<number>>, lengthMs: number): Promise<void> {
    const folder = join(this.#folder, `${scenario}; ${way}`);
    mkdirSync(folder, { recursive: true });
    const halves = (["server", "agent"] as const).filter((half) => ports[half] !== undefined);
    const profiles = await Promise.all(
      halves.map(async (half) => ({ half, text: await profileAt(ports[half] as number, lengthMs) })),
    );
    for (const { half, text } of profiles) {
      writeFileSync(join(folder, `${half}.cpuprofile`), text);
      const times = selfTimes(JSON.parse(text) as CpuProfile);
      this.#taken.set(`${scenario}\n${way}\n${half}`, { scenario, way, half, times });
    }
  }

  /** The functions with most time of their own, for each half. */
  tables(): string {
    return this.taken
      .map(({ scenario, way, half, times }) => {
        const rows = times
          .slice(0, shownFunctions)
          .map(({ share, name, place }) => [`${(100 * share).toFixed(1)} %`, name, place]);
        return `## ${scenario}; ${way}: ${half}\n\n${markdownTable(["of busy time", "function", "where"], rows)}\n`;
      })
      .join("\n");
  }
}

async function profileAt(port: number, lengthMs: number): Promise<string> {
  const path = `/debug/pprof/profile?seconds=${Math.max(1, Math.round(lengthMs / 1_000))}`;
  const response = await fetch(`http://127.0.0.1:${port}${path}`, { signal: AbortSignal.timeout(lengthMs + lateMs) });
  const body = await response.text();
  if (!response.ok) throw new Error(`${path} answered ${response.status}: ${body}`);
  return body;
}
