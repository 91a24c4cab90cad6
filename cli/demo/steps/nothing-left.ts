import { poll } from "../poll.ts";
import type { Stage } from "../stage.ts";
import { Mismatch } from "../story.ts";

/** Families that count what is open now, by half. */
const openAtServer = [
  "pending_backend_dials",
  "established_connections",
  'grpc_connections{service_method="Proxy"}',
  "http_connections",
] as const;
const openAtAgent = ["open_endpoint_connections"] as const;

/** Every process counts zero of whatever the story opened. */
export async function nothingLeft(stage: Stage): Promise<void> {
  const { story, tunnel } = stage;
  story.chapter("Nothing is left behind, by the processes' own metrics");
  const halves = [
    { half: tunnel.server, names: openAtServer, result: "0 dials, 0 connections, 0 streams" },
    ...[...tunnel.agents.values()].map((half) => ({ half, names: openAtAgent, result: "0 connections" })),
  ];
  for (const { half, names, result } of halves) {
    const step = { label: half.name, expected: `${result}, within 5 s`, withinMs: 5_000 };
    await story.tell(step, async (signal) => {
      let last = "no metrics";
      const read = async () => {
        const counts = await half.gauges(names, { signal });
        const open = Object.entries(counts).filter(([, count]) => count !== 0);
        last = open.map(([name, count]) => `${name} ${count}`).join(", ");
        return open.length === 0 ? true : undefined;
      };
      await poll(read, { signal }).catch((error) => {
        throw signal.aborted ? new Mismatch(last) : error;
      });
      return { result };
    });
  }
}
