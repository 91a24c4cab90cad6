import { rmSync, writeFileSync } from "node:fs";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type ProxyProcess, startAgent } from "../support/processes.ts";
import { Relay } from "../support/relay.ts";
import { accepted, TokenServer } from "../support/token-server.ts";
import { until } from "../support/until.ts";

let scene: TokenServer;
let relay: Relay;
let agent: ProxyProcess | undefined;
let tokenFile: string;

beforeAll(async () => {
  scene = await TokenServer.start();
  relay = await Relay.start(scene.server.agentPort);
  tokenFile = scene.workspace.path("agent-token");
  scene.tokens.set("first", accepted());
  writeFileSync(tokenFile, "first\n");
  agent = await startAgent({
    implementation: "hawser",
    workspace: scene.workspace,
    agentPort: relay.port,
    agentId: "agent-0",
    flags: ["--agent-cert=", "--agent-key=", `--service-account-token-path=${tokenFile}`],
  });
});
afterAll(async () => {
  await agent?.stop();
  await relay?.stop();
  await scene?.stop();
});

function running(): ProxyProcess {
  if (agent === undefined) throw new Error("the agent did not start");
  return agent;
}

/** Log lines of the agent that tell of a failed attempt, from the given line on. */
const failures = (text: string, from: number) =>
  running()
    .stderr.slice(from)
    .filter((line) => line.includes("cannot link to a server") && line.includes(text));

const failure = (text: string, from: number) =>
  until(`a log line about ${text}`, () => failures(text, from).length > 0, running().withinStart());

/** Drops the link and resolves when the agent has noticed. */
async function cut(): Promise<void> {
  relay.cut();
  await until(
    "the loss of the link",
    async () => (await running().get("/readyz")).status !== 200,
    running().withinStart(),
  );
}

it("an agent links with the token of its file", async () => {
  expect(scene.reviewsOf("first")).toBe(1);
  expect(await scene.linked()).toBe(1);
});

it("it takes the new token when it connects again", async () => {
  scene.tokens.set("second", accepted());
  scene.tokens.delete("first");
  writeFileSync(tokenFile, "\tsecond\n\n");
  const from = running().stderr.length;
  relay.cut();
  await until("a review of the new token", () => scene.reviewsOf("second") === 1, running().withinStart());
  await running().answersOk("/readyz");
  expect(failures("", from)).toEqual([]);
});

it.each([
  ["vanishes", () => rmSync(tokenFile), /the token file \S+ cannot be read: ENOENT/],
  ["is emptied", () => writeFileSync(tokenFile, " \n"), /the token file \S+ is empty/],
])("a file that %s fails the attempt with a line that says so, until it is back", async (what, damage, text) => {
  const from = running().stderr.length;
  damage();
  await cut();
  await failure("the token file", from);
  expect(failures("the token file", from)[0]).toMatch(text);
  const token = `after-it-${what.replaceAll(" ", "-")}`;
  scene.tokens.set(token, accepted());
  writeFileSync(tokenFile, token);
  await running().answersOk("/readyz");
  expect(scene.reviewsOf(token)).toBe(1);
});

it("a token that the server does not take is told in the server's words, and tried again", async () => {
  const from = running().stderr.length;
  writeFileSync(tokenFile, "stolen");
  await cut();
  await failure("lookup failed: invalid bearer token", from);
  scene.tokens.set("good-again", accepted());
  writeFileSync(tokenFile, "good-again");
  await running().answersOk("/readyz");
  expect(running().stderr.join("\n")).not.toContain("stolen");
});
