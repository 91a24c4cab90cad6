import { createSocket } from "node:dgram";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { echoEndpoint } from "../support/endpoints.ts";
import { newRandom, proxyPath } from "../support/frontend-client.ts";
import { here, type Place } from "../support/processes.ts";
import type { Scene } from "../support/scene.ts";
import { within } from "../support/within.ts";
import { useFaultScene } from "./fault-scene.ts";
import { beside } from "./neighbours.ts";

const dialCount = 50;
/** What an agent allows an endpoint, name included, and time for a busy machine. */
const answeredWithinMs = 9_000;
const tripMaxMs = 1_000;
/** Nobody else's, also where a machine has a resolver of its own on the loopback. */
const resolverHost = "127.0.0.77";

const isRoot = process.getuid?.() === 0;
if (!isRoot)
  process.stderr.write("SKIPPED: names that hang need root, for a mount namespace with a resolv.conf of its own\n");

describe.runIf(isRoot)("a resolver that never answers", () => {
  const folder = mkdtempSync(join(tmpdir(), "hw-"));
  const file = join(folder, "resolv.conf");
  const resolver = createSocket("udp4");
  beforeAll(async () => {
    // Longer than a dial may take, so that every lookup outlives its dial.
    writeFileSync(file, `nameserver ${resolverHost}\noptions timeout:8 attempts:1\n`);
    resolver.bind(53, resolverHost);
    await once(resolver, "listening");
  });
  afterAll(() => {
    resolver.close();
    rmSync(folder, { recursive: true });
  });

  const agentPlace: Place = {
    ...here,
    command: ({ file: program, args, ...rest }) => ({
      file: "unshare",
      args: ["--mount", "sh", "-c", 'mount --bind "$0" /etc/resolv.conf && exec "$@"', file, program, ...args],
      ...rest,
    }),
  };
  let scene: Scene;
  useFaultScene({ agentPlace }, (started) => {
    scene = started;
  });

  test("R-2.4, R-5.1: dials to names end with a reason in time, and addresses are dialed as ever", async () => {
    const echo = await scene.endpoint(echoEndpoint());
    const session = await scene.session();
    const asked = once(resolver, "message");
    const dial = async (index: number) => {
      const stream = session.open(proxyPath);
      const address = `host-${index}.hawser.test:443`;
      stream.send({ type: "DIAL_REQ", protocol: "tcp", address, random: newRandom() });
      const { error } = await stream.next("DIAL_RSP");
      stream.cancel();
      return error.replace(/ \(dial \d+\)$/, "").replace(address, "NAME");
    };
    const work = async () => {
      const dials = Array.from({ length: dialCount }, (_, index) => dial(index));
      const answers = await within(answeredWithinMs, "answers to all dials", Promise.all(dials));
      expect(new Set(answers)).toEqual(new Set(["dial tcp NAME: i/o timeout"]));
    };
    const { echoesMs, dialsMs, standstillMs } = await beside(
      scene,
      { address: echo.address, protocol: "connect" },
      work,
    );
    await asked;
    expect(Math.max(...echoesMs) - standstillMs).toBeLessThan(tripMaxMs);
    expect(Math.max(...dialsMs) - standstillMs).toBeLessThan(tripMaxMs);
  });
});
