import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { connect, createServer } from "node:net";
import { expect } from "vitest";
import { linkRawAgent, type RawAgent } from "../support/raw-agent.ts";
import { until } from "../support/until.ts";
import type { Check } from "./check.ts";
import type { Cluster } from "./cluster.ts";
import type { ClusterNode } from "./cluster-node.ts";
import { byName, droppedPackets, nodeSites } from "./network.ts";
import { readCa, writeServingPair } from "./node-files.ts";
import { podName } from "./pods.ts";

const restartsWithinMs = 40_000;
const sites = Object.values(nodeSites);

export function firewallChecks(check: Check, cluster: () => Cluster): void {
  check.each(byName(sites))(
    "the firewall of %s drops what the control plane dials, node and pod",
    async (_name, site) => {
      const { api } = cluster();
      const { body } = await api.call("GET", `/api/v1/namespaces/default/pods/${podName(site)}`);
      const { podIP } = (body as { readonly status: { readonly podIP: string } }).status;
      await expectDropped(site.name, "node", site.address, 10250);
      await expectDropped(site.name, "pods", podIP, 8080);
    },
  );
}

export function certificateCheck(check: Check, cluster: () => Cluster): void {
  check("a kubelet with a certificate of another CA is refused through the tunnel", async () => {
    const { certificates } = cluster().workspace;
    const node = cluster().node("b");
    // A connection of its own, where others may use one that was verified before.
    const exec = () => cluster().kubectl.run(["exec", podName(node.site), "--container=shell", "--", "true"]);
    let last = "";
    const unlessYet = { withinMs: restartsWithinMs, describe: () => `${last}\n${node.describe()}` };
    await restartKubelet(cluster(), node, certificates.agentCa);
    try {
      const refused = async () => {
        last = (await exec()).stderr;
        return last.includes("certificate signed by unknown authority");
      };
      await until("a refusal of the certificate", refused, unlessYet);
    } finally {
      await restartKubelet(cluster(), node, certificates.endpointCa);
    }
    await until("kubelet with the right certificate", async () => (await exec()).code === 0, unlessYet);
  });
}

export function hostileAgentCheck(check: Check, cluster: () => Cluster): void {
  check("an agent opens nothing in the control plane, whatever packet it sends", async () => {
    const { workspace, server } = cluster();
    let arrivals = 0;
    const listener = createServer((socket) => {
      arrivals += 1;
      socket.destroy();
    });
    listener.listen(0, "127.0.0.1");
    await once(listener, "listening");
    const address = `127.0.0.1:${(listener.address() as AddressInfo).port}`;
    const agent = await linkRawAgent({ workspace, server }, { identifiers: "ipv4=192.0.2.1" });
    try {
      agent.stream.send({ type: "DIAL_REQ", protocol: "tcp", address, random: 1n });
      agent.stream.send({ type: "DATA", connectId: 1n, data: Buffer.from("GET / HTTP/1.0\r\n\r\n") });
      agent.stream.send({ type: "CLOSE_REQ", connectId: 1n });
      agent.stream.send({ type: "DIAL_RSP", random: 2n, connectId: 77n, error: "" });
      // Data and an answer for connections that nobody has are answered by closing these; by the second answer all has been read.
      for (const connectId of [1n, 77n]) {
        expect(await nextButDials(agent.stream)).toMatchObject({ type: "CLOSE_REQ", connectId });
      }
      expect(arrivals).toBe(0);
    } finally {
      await agent.session.close();
      listener.close();
    }
  });
}

/** kube-apiserver looks after its aggregated API meanwhile, and this agent is as good for that as another. */
async function nextButDials(stream: RawAgent["stream"]) {
  for (;;) {
    const packet = await stream.take("an answer");
    if (packet?.type !== "DIAL_REQ" && packet?.type !== "DIAL_CLS") return packet;
  }
}

/** With a new certificate, of this CA. */
export async function restartKubelet(cluster: Cluster, node: ClusterNode, caFile: string): Promise<void> {
  await node.stopKubelet();
  writeServingPair(node.files, node.site, readCa(caFile));
  await cluster.startKubelet(node);
}

/** Dials until the counter shows that packets are dropped; nothing answers meanwhile. */
async function expectDropped(node: string, to: "node" | "pods", host: string, port: number): Promise<void> {
  const before = (await droppedPackets(node))[to];
  const socket = connect({ host, port });
  const outcome: string[] = [];
  socket.once("connect", () => outcome.push("connected"));
  socket.once("error", (error) => outcome.push(error.message));
  try {
    await until(
      `dropped packets of ${node}`,
      async () => (await droppedPackets(node))[to] > before || outcome.length > 0,
      {
        withinMs: 10_000,
      },
    );
    expect(outcome, `dial of ${host}:${port}`).toEqual([]);
    expect((await droppedPackets(node))[to]).toBeGreaterThan(before);
  } finally {
    socket.destroy();
  }
}
