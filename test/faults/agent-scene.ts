import { createServer, type Socket } from "node:net";
import { afterAll, afterEach, beforeAll } from "vitest";
import { Endpoint } from "../support/endpoints.ts";
import { Inbox } from "../support/message-channel.ts";
import { type ProxyProcess, startAgent } from "../support/processes.ts";
import { RawTunnelServer } from "../support/raw-tunnel.ts";
import { until } from "../support/until.ts";
import { Workspace } from "../support/workspace.ts";
import { atRest } from "./holdings.ts";
import { BlackHole } from "./hole.ts";

/** A connection at an endpoint, as the test holds it. */
export interface Accepted {
  readonly socket: Socket;
  /** Resolves at its end: to the system's name of what broke it, undefined if nothing did. */
  readonly closed: Promise<string | undefined>;
}

/** An agent of ours whose server is a raw one, an endpoint that does what the test tells it, and one that never answers. */
export interface AgentScene {
  readonly server: RawTunnelServer;
  readonly agent: ProxyProcess;
  readonly endpoint: Endpoint;
  readonly accepted: Inbox<Accepted>;
  readonly hole: BlackHole;
}

/**
 * Gives the tests of a `describe` such a scene. After each of them the server drops its connections, and then the agent has to live,
 * with no connection, no dial and no descriptor more than before, and call again.
 */
export function useAgentScene(use: (scene: AgentScene) => void): void {
  const workspace = new Workspace();
  let scene: AgentScene;
  let descriptors = 0;
  beforeAll(async () => {
    const server = await RawTunnelServer.start(workspace.certificates);
    const welcomed = server.welcome();
    const flags = ["--sync-interval=10ms", "--sync-interval-cap=50ms"];
    const agentPort = server.port;
    const agent = await startAgent({ implementation: "hawser", workspace, agentPort, agentId: "agent-0", flags });
    await welcomed;
    const accepted = new Inbox<Accepted>();
    scene = { server, agent, accepted, endpoint: await listen(accepted), hole: await BlackHole.open() };
    descriptors = await atRest(agent);
    server.cut();
    use(scene);
  });
  afterEach(async () => {
    const { server, agent, endpoint, hole } = scene;
    server.cut();
    const settled = async () =>
      (await agent.metric("open_endpoint_connections")) === 0 &&
      endpoint.openCount + hole.knockCount() === 0 &&
      agent.openDescriptors() <= descriptors;
    const describe = () => `${agent.openDescriptors()} of ${descriptors} descriptors\n${agent.describe()}`;
    await until("nothing to be left at the agent", settled, { withinMs: 10_000, signal: agent.gone, describe });
  });
  afterAll(async () => {
    await scene.agent.stop();
    await scene.server.stop();
    await scene.endpoint.close();
    await scene.hole.close();
    workspace.remove();
  });
}

function listen(accepted: Inbox<Accepted>): Promise<Endpoint> {
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    let failure: NodeJS.ErrnoException | undefined;
    socket.on("error", (error) => {
      failure = error;
    });
    const closed = new Promise<string | undefined>((resolve) => socket.once("close", () => resolve(failure?.code)));
    accepted.put({ socket, closed });
  });
  return Endpoint.listen(server);
}
