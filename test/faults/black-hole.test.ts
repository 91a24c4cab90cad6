import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { echoEndpoint } from "../support/endpoints.ts";
import { newRandom, proxyPath } from "../support/frontend-client.ts";
import type { Scene } from "../support/scene.ts";
import { inSoak } from "../support/soak.ts";
import { within } from "../support/within.ts";
import { links, useFaultScene } from "./fault-scene.ts";
import { BlackHole } from "./hole.ts";
import { beside } from "./neighbours.ts";

const sessionCount = 10;
const dialsPerSession = inSoak(100, 500);
/** What an agent allows an endpoint, and time for a busy machine; no dial may take longer. */
const answeredWithinMs = 20_000;

let hole: BlackHole;
beforeEach(async () => {
  hole = await BlackHole.open();
});
afterEach(() => hole.close());

describe.each(links)("by $link", ({ agentFlags }) => {
  let scene: Scene;
  useFaultScene({ agentFlags, serverFlags: ["--max-pending-dials=10000"] }, (started) => {
    scene = started;
  });

  test(`R-2.4, R-5.1: ${sessionCount * dialsPerSession} dials at once into a black hole each end with a reason in time, and others go on`, async () => {
    const echo = await scene.endpoint(echoEndpoint());
    const dial = async (session: Awaited<ReturnType<Scene["session"]>>) => {
      const stream = session.open(proxyPath);
      stream.send({ type: "DIAL_REQ", protocol: "tcp", address: hole.address, random: newRandom() });
      const { value } = await stream.packets.next();
      stream.cancel();
      return value?.type === "DIAL_RSP" ? value.error.replace(/ \(dial \d+\)$/, "") : value?.type;
    };
    const flood = async () => {
      const sessions = await Promise.all(Array.from({ length: sessionCount }, () => scene.session()));
      const dials = sessions.flatMap((session) => Array.from({ length: dialsPerSession }, () => dial(session)));
      const answers = await within(answeredWithinMs, "answers to all dials", Promise.all(dials));
      const late = ["timed out waiting for backend dial", `dial tcp ${hole.address}: i/o timeout`];
      expect(answers.filter((answer) => !late.includes(answer ?? ""))).toEqual([]);
    };
    // None of them breaks, or waits out its deadline; how long they take here is a matter of this machine's cores.
    await beside(scene, { address: echo.address, protocol: "grpc" }, flood);
  });
});
