import { StalledConnections } from "../soak/stalled-connections.ts";
import { type LoadPlan, measureLoad, type Reading, type Stage } from "./load.ts";
import type { Sample } from "./results.ts";
import type { RunningWay } from "./ways.ts";

/** A load beside so many downloads whose readers have stopped, with everything between their ends full. */
export async function besideStalledReaders(
  way: RunningWay,
  stage: Stage,
  count: number,
  plan: LoadPlan,
  reading: Reading,
): Promise<Sample> {
  const { tunnel } = way;
  if (tunnel === undefined) throw new Error("only a tunnel has stalled readers");
  let stalled: StalledConnections | undefined;
  try {
    // The load's own connections are open by then: beside a stalled reader the reference answers no dial.
    return await measureLoad(way, stage, plan, reading, async () => {
      stalled = await StalledConnections.open(tunnel, stage.endpoints, { end: "client", count });
    });
  } finally {
    await stalled?.close();
  }
}
