import { expect } from "vitest";
import { type Report, rounds } from "../support/rounds.ts";
import { inSoak } from "../support/soak.ts";
import { LongPath, type Rate, type Way } from "./long-path.ts";

/** Of a bare TLS connection's rate. */
const leastShare = 0.9;
/** What the path takes: more than windows can carry that do not follow the round trip, and less than two busy cores can. */
const megabytesPerSecond = { 10: 50, 50: 40 } as const;
/** In turn, and the best counts: what else the machine does only takes away. The short form ends as soon as it has seen enough. */
const turnsMax = 9;
const turnsMin = inSoak(1, turnsMax);

for (const roundTripMs of [10, 50] as const) {
  const title = `one connection over lanes at ${roundTripMs} ms has 90 % of a bare TLS connection's rate (issue 5)`;
  rounds(title, { times: 1, timeoutMs: 300_000, alone: true }, async (report) => {
    const pace = { oneWayMs: roundTripMs / 2, megabytesPerSecond: megabytesPerSecond[roundTripMs] };
    const lanes = await LongPath.start("hawser", pace);
    try {
      for (const way of ["down", "up"] as const) {
        const [bare, ours] = await inTurns(lanes, way, report, pace.megabytesPerSecond);
        expect(bare.warm, "a bare connection: else the machine is too busy to judge").toBeGreaterThanOrEqual(
          leastShare * pace.megabytesPerSecond,
        );
        expect(ours.warm / bare.warm, `${way}: ${ours.warm} of ${bare.warm} MB/s`).toBeGreaterThanOrEqual(leastShare);
      }
    } finally {
      await lanes.stop();
    }
    await reportReference(pace, report);
  });
}

// Here the machine sets the bound, which carries a tunnel's four processes in the one case and two in the other: figures, and no more.
for (const roundTripMs of inSoak([], [10, 50])) {
  const title = `figures of a path of ${roundTripMs} ms without a bound`;
  rounds(title, { times: 1, timeoutMs: 600_000, alone: true }, async (report) => {
    const pace = { oneWayMs: roundTripMs / 2 };
    const lanes = await LongPath.start("hawser", pace);
    try {
      for (const way of ["down", "up"] as const) {
        await inTurns(lanes, way, report);
        reportRate(report, `lanes ${way} on 16`, await lanes.throughTunnel(way, 16));
      }
    } finally {
      await lanes.stop();
    }
    await reportReference(pace, report);
  });
}

/** Until both have shown what they can, a path of this rate being all that a bare connection can have. */
async function inTurns(path: LongPath, way: Way, report: Report, pathRate = 0): Promise<[Rate, Rate]> {
  let bare: Rate = { first: 0, warm: 0 };
  let ours = bare;
  const enough = () => Math.min(bare.warm, ours.warm) >= leastShare * Math.max(bare.warm, pathRate);
  for (let turn = 1; turn <= turnsMin || (turn <= turnsMax && !enough()); turn++) {
    bare = better(bare, await path.bare(way));
    ours = better(ours, await path.throughTunnel(way));
  }
  reportRate(report, `bare TLS ${way}`, bare);
  reportRate(report, `lanes ${way}`, ours);
  return [bare, ours];
}

/** To compare with, and no more. */
async function reportReference(pace: Parameters<typeof LongPath.start>[1], report: Report): Promise<void> {
  const reference = await LongPath.start("reference-v0.36.0", pace);
  try {
    for (const way of ["down", "up"] as const)
      reportRate(report, `reference ${way}`, await reference.throughTunnel(way));
  } finally {
    await reference.stop();
  }
}

function reportRate(report: Report, what: string, { first, warm }: Rate): void {
  report(`${what}, MB/s`, warm);
  report(`${what} in the first second, MB/s`, first);
}

const better = (one: Rate, other: Rate): Rate => (other.warm > one.warm ? other : one);
