import { afterEach, test } from "vitest";
import { Installation } from "../../support/installation.ts";

let installation: Installation;
afterEach(() => installation.stop());

async function start(serverCount: number): Promise<void> {
  installation = await Installation.start({ serverCount }, [`--server-count=${serverCount}`]);
}

test("one server and one agent that looks for servers for ever count one another once", async () => {
  await start(1);
  await installation.addAgent("--sync-forever");
  await installation.settles(1);
  await installation.carriesThroughEach();
});

test("three agents meet three servers behind one address, do without one that leaves, and meet the one that comes", async () => {
  await start(3);
  for (let index = 0; index < 3; index++) await installation.addAgent();
  await installation.settles(3);
  await installation.carriesThroughEach();
  await installation.removeServer();
  await installation.settles(3);
  await installation.carriesThroughEach();
  await installation.addServer();
  await installation.settles(3);
  await installation.carriesThroughEach();
});
