import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { LeaseList } from "../../shared/kubernetes/lease.ts";
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
import { collectionOf, parseManifests } from "../support/manifests.ts";
import { ProxyProcess, ProxyServer } from "../support/processes.ts";
import { repositoryRoot } from "../support/repository-root.ts";
import { openConnection } from "../support/transfers.ts";
import { until } from "../support/until.ts";
import { Workspace } from "../support/workspace.ts";
import { type ManifestArguments, manifestArguments } from "./manifest-arguments.ts";
import { controlPlaneAddress, NodeNamespace, nodeAddress } from "./node-namespace.ts";
import { OwnFiles } from "./own-files.ts";
import { ownManifestArguments } from "./own-manifest-arguments.ts";

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
  await makeOwnAccounts();
  controlPlaneFiles = await writeControlPlaneFiles();
  agentFiles = await writeAgentFiles();
  endpoint = await echoEndpoint(controlPlaneAddress);
});
afterAll(async () => {
  await endpoint?.close();
  await api?.stop();
  await node?.remove();
  workspace?.remove();
});

/** Accounts and roles as our own manifests make them. */
async function makeOwnAccounts(): Promise<void> {
  await api.ensure("/api/v1/namespaces", { metadata: { name: agentNamespace } });
  for (const file of ["server/rbac.yaml", "agent-common/rbac.yaml"]) {
    for (const object of parseManifests(readFileSync(join(repositoryRoot, "deploy/kustomize", file), "utf8"))) {
      await api.ensure(collectionOf(object.kind, agentNamespace), object);
    }
  }
}

/** What kubelet mounts into every pod of an account. */
async function writeAccount(files: OwnFiles, account: string): Promise<void> {
  const token = await api.createServiceAccountToken(agentNamespace, account, "https://kubernetes.default.svc");
  files.write(`${accountFolder}/token`, token);
  files.write(`${accountFolder}/ca.crt`, api.setting.ca.cert);
  files.write(`${accountFolder}/namespace`, agentNamespace);
}

/** The server has the certificate of kube-apiserver, and kubeadm's or a static token's kubeconfig, or its pod's account. */
async function writeControlPlaneFiles(): Promise<OwnFiles> {
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
  await writeAccount(files, "konnectivity-server");
  return files;
}

/** What kubelet mounts into the agent's pod, and what the cluster's DNS would say. */
async function writeAgentFiles(): Promise<OwnFiles> {
  const files = new OwnFiles(workspace.path("agent"), [`${controlPlaneAddress} ${serverName}`]);
  files.write("/var/run/secrets/tokens/konnectivity-agent-token", await agentToken(api));
  await writeAccount(files, agentAccount);
  return files;
}

/** What a pod's environment says of kube-apiserver. */
const env = { KUBERNETES_SERVICE_HOST: controlPlaneAddress, KUBERNETES_SERVICE_PORT: `${apiPort}` };
/** Nothing that is root's by right and not by owning it, as in the pods of our own manifests. */
const noCapabilities = ["--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"];

const program = (half: "server" | "agent", args: readonly string[]) => ({
  file: "setpriv",
  args: [...noCapabilities, process.execPath, join(repositoryRoot, "dist", half, "bin.js"), ...args],
  env,
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
  const command = node.command(agentFiles.command(program("agent", args)));
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

/** Runs both halves, puts a dial through them, and lets `also` look at them. */
async function carriesADial(
  list: ManifestArguments,
  also: (server: ProxyServer, agent: ProxyProcess) => void | Promise<void>,
): Promise<void> {
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
    await also(server, agent);
  } finally {
    await agent.stop();
    await endGently(server);
  }
}

// One after the other: all have the same ports. Ours come first, before anybody has more rights than these manifests give.
describe.each(ownManifestArguments())("with the arguments and the roles of $source", (list) => {
  it("a dial goes through, and leases come and go, without a capability and with no call refused", async () => {
    const ours = `leases?labelSelector=${encodeURIComponent("k8s-app=konnectivity-server")}`;
    const leases = async () =>
      (await api.call("GET", `/apis/coordination.k8s.io/v1/namespaces/${agentNamespace}/${ours}`)).body;
    let [serverLog, agentLog]: (readonly string[])[] = [];
    await carriesADial(list, async (server, agent) => {
      const published = async () => ((await leases()) as LeaseList).items?.length === 1;
      await until("the server's lease", published, server.withinStart());
      expect(await leases()).toMatchObject({ items: [{ spec: { leaseDurationSeconds: 30 } }] });
      const watches = async () => (await agent.metric("lease_watches_total", { http_response_code: "200" })) > 0;
      await until("the agent watches leases", watches, agent.withinStart());
      const status = readFileSync(`/proc/${server.pid}/status`, "utf8");
      expect(/^CapEff:\s+(\w+)$/m.exec(status)?.[1]).toBe("0000000000000000");
      [serverLog, agentLog] = [server.stderr, agent.stderr];
    });
    expect(await leases()).toMatchObject({ items: [] });
    expect([...(serverLog ?? []), ...(agentLog ?? [])].filter((line) => /forbidden|\b403\b/i.test(line))).toEqual([]);
  });
});

describe("with the roles of the reference's manifests", () => {
  beforeAll(async () => {
    await allowTokenReviews(api, serverUser);
    await allowEverything(api, "kubernetes-admin");
    await allowLeaseCounting(api);
  });

  describe.each(manifestArguments)("and the arguments of $source", (list) => {
    it("the server is healthy, the agent links by its token, and a dial goes through", async () => {
      await carriesADial(list, (server) => {
        const toStderr = !list.server.includes("--logtostderr=false");
        expect(server.stderr.some((line) => line.includes("agent linked"))).toBe(toStderr);
        if (!toStderr) expect(controlPlaneFiles.read("/var/log/konnectivity-server.log")).toContain("agent linked");
      });
    });
  });
});
