import { mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { ManagedProcess } from "../support/managed-process.ts";
import { here, type Place } from "../support/processes.ts";
import { within } from "../support/within.ts";
import type { Halves } from "./results.ts";
import { type CpuProfile, selfTimes } from "./self-times.ts";
import { markdownTable } from "./tables.ts";

const exitWithinMs = 15_000;
const shownFunctions = 15;

/** CPU profiles that Hawser's halves leave, a folder for each scenario and way. */
export class Profiles {
  readonly #folder: string;

  /** Empties the folder. */
  constructor(folder: string) {
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { recursive: true });
    this.#folder = folder;
  }

  /** Where halves run so that each leaves its profile when it exits by itself. */
  placesOf(scenario: string, way: string): Halves<Place> {
    const folder = join(this.#folder, `${scenario}; ${way}`);
    const place = (half: keyof Halves<unknown>): Place => ({
      ...here,
      command: ({ file, args, ...rest }) => ({
        ...rest,
        file,
        args: ["--cpu-prof", `--cpu-prof-dir=${folder}`, `--cpu-prof-name=${half}.cpuprofile`, ...args],
      }),
    });
    return { server: place("server"), agent: place("agent") };
  }

  /** Lets both halves end by themselves; one that does not has no profile. */
  async finish({ server, agent }: Halves<ManagedProcess>): Promise<void> {
    for (const half of [agent, server]) {
      half.kill("SIGTERM");
      await within(exitWithinMs, `${half.name} to end`, half.exited).catch(() => {});
    }
  }

  /** The functions with most time of their own, for each half that left a profile. */
  tables(): string {
    const named = (folder: string) =>
      readdirSync(join(this.#folder, folder)).map((file) => ({ folder, file, path: join(this.#folder, folder, file) }));
    return readdirSync(this.#folder)
      .flatMap(named)
      .map(({ folder, file, path }) => {
        const times = selfTimes(JSON.parse(readFileSync(path, "utf8")) as CpuProfile).slice(0, shownFunctions);
        const rows = times.map(({ share, name, place }) => [`${(100 * share).toFixed(1)} %`, name, place]);
        const table = markdownTable(["of busy time", "function", "where"], rows);
        return `## ${folder}: ${file.replace(".cpuprofile", "")}\n\n${table}\n`;
      })
      .join("\n");
  }
}
