import { frontendText } from "../../client/frontend-address.ts";
import type { Stage } from "../stage.ts";
import { agentIds } from "../tunnel.ts";

/** Starts the processes, each with what it says of itself. */
export async function setUp(stage: Stage, frontend: "uds" | "tcp"): Promise<void> {
  const { story, tunnel } = stage;
  story.chapter("Starting four processes");
  await story.tell({ label: "kubelet", expected: "an HTTPS endpoint that listens" }, async (signal) => {
    const { pid } = await tunnel.startKubelet({ signal });
    return { result: `${tunnel.kubelet.address}, HTTPS by a CA of its own`, figure: `pid ${pid}` };
  });
  await story.tell({ label: "proxy server", expected: "a proxy server that is healthy" }, async (signal) => {
    const { child } = await tunnel.startServer(frontend, { signal });
    return { result: frontendText(tunnel.frontend), figure: `pid ${child.pid}` };
  });
  for (const id of agentIds) {
    await story.tell({ label: `agent-${id}`, expected: "an agent that is linked to the server" }, async (signal) => {
      const { child } = await tunnel.startAgent(id, { signal });
      return { result: "linked: it called the server, by mTLS", figure: `pid ${child.pid}` };
    });
  }
}
