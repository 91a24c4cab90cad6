import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { issueClientPair } from "../support/certificates.ts";
import { agentSocket } from "../support/raw-agent.ts";
import { RawSession } from "../support/raw-grpc.ts";
import { accepted, TokenServer } from "../support/token-server.ts";
import { RunningTransfers } from "../support/transfers.ts";
import { Tunnel } from "../support/tunnel.ts";
import { until } from "../support/until.ts";

const permissionDenied = 7;
const ownNode = "--agent-identifier-policy=own-node";

describe("own-node with certificates", () => {
  let tunnel: Tunnel;
  let transfers: RunningTransfers;
  const sessions: RawSession[] = [];
  beforeAll(async () => {
    tunnel = await Tunnel.start({
      server: "hawser",
      agent: "hawser",
      frontend: { protocol: "grpc", transport: "uds" },
      serverFlags: ["--proxy-strategies=destHost,default", ownNode],
    });
    transfers = await RunningTransfers.start(tunnel);
  });
  afterEach(async () => {
    for (const session of sessions.splice(0)) await session.close();
    await tunnel.serverCounts(1);
    await transfers.progress();
  });
  afterAll(async () => {
    try {
      await transfers.finish();
    } finally {
      await tunnel.stop();
    }
  });

  async function call(
    identifiers: string,
    client: { readonly commonName: string; readonly names?: readonly string[] },
  ) {
    const pair = issueClientPair(tunnel.workspace.certificates.agentCa, client);
    const session = new RawSession(await agentSocket(tunnel, { pair }));
    sessions.push(session);
    const stream = session.open("/AgentService/Connect", { agentid: "claimant", agentidentifiers: identifiers });
    return { session, stream };
  }

  const destHosts = () => tunnel.server.metric("ready_backends", { proxy_strategy: "destHost" });

  it.each([
    ["node-1", ["node-1", "10.0.0.1", "fd00::1"], "host=Node-1&ipv4=10.0.0.1&ipv6=fd00:0::1&cidr=0.0.0.0/0", 3],
    ["system:node:node-1", [], "host=node-1", 1],
    ["anybody", [], "", 0],
  ])("links %s with the names %j that claims %j", async (commonName, names, identifiers, count) => {
    const { stream } = await call(identifiers, { commonName, names });
    expect(await stream.headers).toMatchObject({ servercount: "1" });
    expect(await destHosts()).toBe(count);
  });

  it.each([
    ["host=node-2", "agent identifier host=node-2 is not proved"],
    ["host=node-1&ipv4=10.0.0.2", "agent identifier ipv4=10.0.0.2 is not proved"],
    ["ipv6=fd00::2", "agent identifier ipv6=fd00::2 is not proved"],
    ["default-route=true", "agent identifier default-route: "],
  ])("refuses a node that claims %j, names the claim, and closes its connection", async (identifiers, text) => {
    const { server } = tunnel;
    const refused = async (limit: string) =>
      (await server.metrics()).sum("hawser_server_refused_total", { limit }) ?? 0;
    const before = await refused("identifiers");
    const { session, stream } = await call(identifiers, { commonName: "node-1", names: ["node-1", "10.0.0.1"] });
    const { status, message } = await stream.ended;
    expect({ status, message }).toEqual({ status: permissionDenied, message: expect.stringContaining(text) });
    expect(message).toContain("--agent-identifier-policy=own-node");
    await session.closed;
    expect(await refused("identifiers")).toBe(before + 1);
    // Not only when the time of a connection without an agent is over.
    expect(await refused("admission_time")).toBe(0);
    expect(await destHosts()).toBe(0);
    const line = await until(
      "a line about the refusal",
      () => server.stderr.find((entry) => entry.includes("agent refused") && entry.includes(text)),
      server.withinStart(),
    );
    expect(JSON.parse(line)).toMatchObject({
      level: "warn",
      agent: "claimant",
      peer: expect.stringMatching(/^127\.0\.0\.1:\d+$/),
    });
  });
});

describe("own-node with tokens", () => {
  let scene: TokenServer;
  beforeAll(async () => {
    scene = await TokenServer.start([ownNode]);
    scene.tokens.set("bound", accepted(undefined, { "authentication.kubernetes.io/node-name": ["node-7"] }));
    scene.tokens.set("free", accepted());
  });
  afterEach(() => scene.hangUp());
  afterAll(() => scene.stop());

  it("links an agent that claims the node of its token, and one that claims nothing", async () => {
    const bound = await scene.connect("a", "Bearer bound", "host=node-7");
    expect(await bound.stream.headers).toMatchObject({ servercount: "1" });
    const free = await scene.connect("b", "Bearer free");
    expect(await free.stream.headers).toMatchObject({ servercount: "1" });
  });

  it.each([
    ["bound", "host=node-8", "the agent's token is bound to the node node-7"],
    ["bound", "host=node-7&ipv4=10.0.0.7", "a token proves the name of a node and no address"],
    ["free", "host=node-7", "kube-apiserver names no node for the agent's token"],
    ["bound", "default-route=true", "no certificate or token proves a claim to every destination"],
  ])("refuses one whose token is %s and who claims %j", async (token, identifiers, text) => {
    const { stream } = await scene.connect("c", `Bearer ${token}`, identifiers);
    expect(await stream.ended).toMatchObject({ status: permissionDenied, message: expect.stringContaining(text) });
  });

  it("says of an unknown token no more than that", async () => {
    const { stream } = await scene.connect("d", "Bearer unknown", "host=node-8");
    expect(await stream.ended).toMatchObject({ status: 16 });
  });
});
