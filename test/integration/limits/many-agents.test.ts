import { expect, test } from "vitest";
import { agentHandshakeLimits } from "../../../server/links/agent-listener.ts";
import { Relay } from "../../support/relay.ts";
import type { Scene } from "../../support/scene.ts";
import { until } from "../../support/until.ts";
import { useScene } from "../../support/use-scene.ts";

/** More than may be at their handshakes at once. */
const agentCount = agentHandshakeLimits.perSourceMax + 150;
/** A handshake takes two of these at least, in which all the others come. */
const oneWayMs = 150;

let scene: Scene;
useScene({}, (started) => {
  scene = started;
});

const refused = async () =>
  (await scene.tunnel.server.metrics()).sum("hawser_server_refused_total", { limit: "handshakes" }) ?? 0;

test("R-7.1: agents that come at once from one address over a long way are all linked, if not at the first try", async () => {
  const relay = await Relay.start(scene.tunnel.server.agentPort, { oneWayMs });
  try {
    const link = (agentId: string) => scene.rawAgent({ agentId, identifiers: "", port: relay.port });
    const linked = Array.from({ length: agentCount }, (_, number) =>
      until(`agent ${number} to be linked`, () => link(`agent-${number}`), { withinMs: 20_000 }),
    );
    await Promise.all(linked);
    expect(await refused()).toBeGreaterThan(0);
  } finally {
    await relay.stop();
  }
});
