import { parseArgs } from "node:util";

/** What the command line of `npm run bench --` asks for. */
export interface Options {
  /** A whole run is published, and so are its repetition and one of profiles; any other is only shown. */
  readonly mode: "whole" | "again" | "profiles" | "part" | "gate" | "page";
  readonly only?: RegExp;
  readonly quick: boolean;
  readonly rounds: number;
  readonly profile: boolean;
}

export const usage = `npm run bench                      measures all and writes docs/performance.{json,md} and its plots
npm run bench -- --again           measures what is compared once more and writes into the page how far that is from it
npm run bench -- --page            writes page and plots again from docs/performance.json
npm run bench -- --only='down|up'  only the scenarios with such a name; shown, not published
npm run bench -- --quick           in two minutes, what the gate needs
npm run bench -- --gate            the same, and fails where Hawser has lost against the published ratios
npm run bench -- --profile         where the time goes, in two minutes: writes docs/performance-profiles.md
with --only, --quick, --again or none: --rounds=5; with --only also --profile (Hawser alone; profiles in .bench/profiles and .bench/profiles.md)`;

const wholeRounds = 5;
/** A run of so few rounds is to be quick. */
export const quickRounds = 3;

/** Throws an error with the offending flag in it. */
export function parseOptions(argv: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      only: { type: "string" },
      quick: { type: "boolean", default: false },
      gate: { type: "boolean", default: false },
      again: { type: "boolean", default: false },
      page: { type: "boolean", default: false },
      profile: { type: "boolean", default: false },
      rounds: { type: "string" },
    },
  });
  const { only, gate, again, page, profile } = values;
  const quick = values.quick || gate;
  if (page && argv.length > 1) throw new Error("--page measures nothing: it stands alone");
  if (again && (quick || profile || only !== undefined))
    throw new Error("--again measures what the whole run compares: no --only, no --quick, no --gate, no --profile");
  if (gate && (only !== undefined || profile || values.rounds !== undefined))
    throw new Error("--gate measures what it needs: no --only, no --profile, no --rounds");
  if (profile && quick) throw new Error("--profile measures longer than --quick does: one of the two");
  const rounds = Number(values.rounds ?? (profile ? 1 : quick ? quickRounds : wholeRounds));
  if (!Number.isInteger(rounds) || rounds < 1) throw new Error(`--rounds=${values.rounds}: a whole number from 1 on`);
  const isPart = quick || only !== undefined || values.rounds !== undefined;
  const mode = modeOf({ page, again, gate, part: isPart, profiles: profile });
  return { mode, quick, rounds, profile, ...(only !== undefined && { only: patternOf(only) }) };
}

/** The first that was asked for. */
function modeOf(asked: Readonly<Record<Exclude<Options["mode"], "whole">, boolean>>): Options["mode"] {
  const modes = ["page", "again", "gate", "part", "profiles"] as const;
  return modes.find((mode) => asked[mode]) ?? "whole";
}

function patternOf(text: string): RegExp {
  try {
    return new RegExp(text, "i");
  } catch (error) {
    throw new Error(`--only=${text}: no regular expression`, { cause: error });
  }
}
