import { execFile } from "node:child_process";
import type { Duplex } from "node:stream";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { type Endpoint, echoEndpoint } from "../support/endpoints.ts";
import { readBytes } from "../support/frontend-client.ts";
import type { ManagedProcess } from "../support/managed-process.ts";
import type { Scene } from "../support/scene.ts";
import { links, protocols, useFaultScene } from "./fault-scene.ts";

/** More than any process has at once here. */
const plenty = 4_096;
/** What a half may open beyond what it has, and besides where its numbers have gaps. */
const spare = 10;
const gaps = 5;
const wantedCount = 3 * spare;

async function limitDescriptors(half: ManagedProcess, count: number): Promise<void> {
  await promisify(execFile)("prlimit", [`--pid=${half.pid}`, `--nofile=${count}:${plenty}`]);
}

async function echoes(duplex: Duplex): Promise<void> {
  duplex.write("hello");
  expect((await readBytes(duplex, 5)).toString()).toBe("hello");
}

describe.each(links)("by $link", ({ agentFlags }) => {
  let scene: Scene;
  useFaultScene({ agentFlags }, (started) => {
    scene = started;
  });

  async function open(echo: Endpoint, protocol: (typeof protocols)[number]): Promise<Duplex> {
    const { duplex } = await scene.connection(echo.address, protocol);
    await echoes(duplex);
    return duplex;
  }

  test.each(protocols)(
    "R-5.1: an agent without free descriptors says so to clients by %s, keeps what it has, and recovers",
    async (protocol) => {
      const [agent] = scene.tunnel.agents;
      if (agent === undefined) throw new Error("an agent is needed");
      const echo = await scene.endpoint(echoEndpoint());
      const before = await open(echo, protocol);
      await limitDescriptors(agent, agent.openDescriptors() + spare);
      const outcomes = await Promise.allSettled(Array.from({ length: wantedCount }, () => open(echo, protocol)));
      const refusals = outcomes.flatMap((outcome) => (outcome.status === "rejected" ? [outcome.reason.message] : []));
      expect(refusals.length).toBeGreaterThanOrEqual(wantedCount - spare - gaps);
      const reason = `dial tcp ${echo.address}: socket: too many open files`;
      const status = protocol === "grpc" ? "" : "HTTP/1.1 503 Service Unavailable\r\n";
      const refusal = expect.stringMatching(new RegExp(`^${status}.*${reason}`, "s"));
      expect(refusals).toEqual(refusals.map(() => refusal));
      await echoes(before);

      await scene.settle();
      const again = await scene.endpoint(echoEndpoint());
      await open(again, protocol);
      await limitDescriptors(agent, plenty);
    },
  );

  // Where accept() has no descriptor libuv takes the client in and drops it, and tells nobody.
  test("a server without free descriptors turns clients away, keeps what it has, and recovers", async () => {
    const { server } = scene.tunnel;
    const echo = await scene.endpoint(echoEndpoint());
    const before = await Promise.all(protocols.map((protocol) => open(echo, protocol)));
    await limitDescriptors(server, server.openDescriptors() + spare);
    const ask = async () => {
      const socket = await scene.socket();
      socket.write(`CONNECT ${echo.address} HTTP/1.1\r\n\r\n`);
      return (await readBytes(socket, 12)).toString();
    };
    const answers = await Promise.all(Array.from({ length: wantedCount }, ask));
    expect(answers.filter((answer) => answer === "HTTP/1.1 200").length).toBeGreaterThan(0);
    expect(answers.filter((answer) => answer === "").length).toBeGreaterThanOrEqual(wantedCount - spare - gaps);
    for (const duplex of before) await echoes(duplex);
    await limitDescriptors(server, plenty);
    await scene.settle();
    const again = await scene.endpoint(echoEndpoint());
    for (const protocol of protocols) await open(again, protocol);
  });
});
