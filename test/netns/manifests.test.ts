import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Endpoint, echoEndpoint } from "../support/endpoints.ts";
import { readBytes } from "../support/frontend-client.ts";
import {
  agentAccount,
  agentNamespace,
  agentToken,
  allowEverything,
  allowLeaseCounting,
  allowTokenReviews,
  serverUser,
} from "../support/konnectivity-accounts.ts";
import { type KubeApi, startKubeApi } from "../support/kube-api.ts";
import { ProxyProcess, ProxyServer } from "../support/processes.ts";
import { repositoryRoot } from "../support/repository-root.ts";
import { openConnection } from "../support/transfers.ts";
import { until } from "../support/until.ts";
import { Workspace } from "../support/workspace.ts";
import { type ManifestArguments, manifestArguments } from "./manifest-arguments.ts";
import { controlPlaneAddress, NodeNamespace, nodeAddress } from "./node-namespace.ts";
import { OwnFiles } from "./own-files.ts";

const apiPort = 443;
const serverName = "konnectivity-server.kube-system.svc.cluster.local";
const staticToken = "token-of-the-server";
const accountFolder = "/var/run/secrets/kubernetes.io/serviceaccount";

let workspace: Workspace;
let api: KubeApi;
let node: NodeNamespace;
let controlPlaneFiles: OwnFiles;
let agentFiles: OwnFiles;
let endpoint: Endpoint;
beforeAll(async () => {
  workspace = new Workspace();
  node = await NodeNamespace.create();
  api = await startKubeApi(workspace, {
    address: controlPlaneAddress,
    port: apiPort,
    names: [serverName, controlPlaneAddress],
    staticTokens: { [staticToken]: serverUser },
  });
  await allowTokenReviews(api, serverUser);
  await allowEverything(api, "kubernetes-admin");
  await allowLeaseCounting(api);
  controlPlaneFiles = writeControlPlaneFiles();
  agentFiles = await writeAgentFiles();
  endpoint = await echoEndpoint(controlPlaneAddress);
});
afterAll(async () => {
  await endpoint?.close();
  await api?.stop();
  await node?.remove();
  workspace?.remove();
});

/** The server has the certificate of kube-apiserver, and kubeadm's or a static token's kubeconfig. */
function writeControlPlaneFiles(): OwnFiles {
  const files = new OwnFiles(workspace.path("control-plane"), []);
  const { serving } = api.setting;
  for (const folder of ["/etc/kubernetes", "/etc/srv/kubernetes"]) {
    files.write(`${folder}/pki/apiserver.crt`, readFileSync(serving.cert, "utf8"));
    files.write(`${folder}/pki/apiserver.key`, readFileSync(serving.key, "utf8"));
    files.makeFolder(`${folder}/konnectivity-server`);
  }
  const adminConf = readFileSync(api.writeCertificateKubeconfig("kubernetes-admin"), "utf8");
  files.write("/etc/kubernetes/admin.conf", adminConf);
  // The reference's example of one, but for the words.
  const user = "konnectivity-server";
  const kubeconfig = {
    apiVersion: "v1",
    kind: "Config",
    users: [{ name: user, user: { token: staticToken } }],
    clusters: [
      { name: "local", cluster: { "insecure-skip-tls-verify": true, server: `https://localhost:${apiPort}` } },
    ],
    contexts: [{ name: user, context: { cluster: "local", user } }],
    "current-context": user,
  };
  files.write("/etc/srv/kubernetes/konnectivity-server/kubeconfig", JSON.stringify(kubeconfig));
  return files;
}

/** What kubelet mounts into the agent's pod, and what the cluster's DNS would say. */
async function writeAgentFiles(): Promise<OwnFiles> {
  const files = new OwnFiles(workspace.path("agent"), [`${controlPlaneAddress} ${serverName}`]);
  files.write("/var/run/secrets/tokens/konnectivity-agent-token", await agentToken(api));
  const own = await api.createServiceAccountToken(agentNamespace, agentAccount, "https://kubernetes.default.svc");
  files.write(`${accountFolder}/token`, own);
  files.write(`${accountFolder}/ca.crt`, api.setting.ca.cert);
  files.write(`${accountFolder}/namespace`, agentNamespace);
  return files;
}

const program = (half: "server" | "agent", args: readonly string[]) => ({
  file: process.execPath,
  args: [join(repositoryRoot, "dist", half, "bin.js"), ...args],
});

function spawnServer({ source, server: args, socket }: ManifestArguments): ProxyServer {
  return new ProxyServer(
    `server of ${source}`,
    controlPlaneFiles.command(program("server", args)),
    { host: "127.0.0.1", health: 8092, metrics: 8092 },
    {
      frontend: { transport: "uds", path: controlPlaneFiles.outside(socket) },
      agentHost: controlPlaneAddress,
      agentPort: 8091,
    },
  );
}

function spawnAgent({ source, agent: args }: ManifestArguments): ProxyProcess {
  const env = { KUBERNETES_SERVICE_HOST: controlPlaneAddress, KUBERNETES_SERVICE_PORT: `${apiPort}` };
  const command = node.command(agentFiles.command({ ...program("agent", args), env }));
  return new ProxyProcess("agent", `agent of ${source}`, command, { host: nodeAddress, health: 8093, metrics: 8093 });
}

/** Lets it take its lease along, which the next would count. */
async function endGently(server: ProxyServer): Promise<void> {
  if (!server.gone.aborted) server.kill("SIGTERM");
  try {
    await until("the server's exit", () => server.gone.aborted, {
      withinMs: 10_000,
      describe: () => server.describe(),
    });
  } finally {
    await server.stop();
  }
}

// One after the other: all have the same ports.
describe.each(manifestArguments)("with the arguments of $source", (list) => {
  it("the server is healthy, the agent links by its token, and a dial goes through", async () => {
    const server = spawnServer(list);
    const agent = spawnAgent(list);
    const describe = () => `${server.describe()}\n${agent.describe()}`;
    try {
      await server.answersOk("/healthz");
      await agent.answersOk("/readyz");
      expect(await agent.get("/healthz")).toMatchObject({ status: 200 });
      const counts = async () =>
        (await agent.metric("known_server_count")) === 1 &&
        (await agent.metric("open_server_connections")) === 1 &&
        (await server.metric("ready_backends", { proxy_strategy: "default" })) === 1;
      await until("one server and one agent", counts, { ...agent.withinStart(), describe });
      const kind = { protocol: list.protocol, transport: "uds" } as const;
      const connection = await openConnection({ server, kind, workspace, describe }, endpoint.address);
      connection.duplex.write("a dial");
      expect((await readBytes(connection.duplex, 6)).toString()).toBe("a dial");
      await connection.close();
      const toStderr = !list.server.includes("--logtostderr=false");
      expect(server.stderr.some((line) => line.includes("agent linked"))).toBe(toStderr);
      if (!toStderr) expect(controlPlaneFiles.read("/var/log/konnectivity-server.log")).toContain("agent linked");
    } finally {
      await agent.stop();
      await endGently(server);
    }
  });
});
