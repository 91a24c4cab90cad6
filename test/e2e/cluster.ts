import { writeFileSync } from "node:fs";
import { egressConfiguration } from "../interop/egress-configuration.ts";
import { issueClientPair } from "../support/certificates.ts";
import { bindClusterRole } from "../support/konnectivity-accounts.ts";
import { type KubeApi, startKubeApi } from "../support/kube-api.ts";
import { ManagedProcess } from "../support/managed-process.ts";
import {
  commandOf,
  type FrontendKind,
  type Implementation,
  type ProxyServer,
  readyAgents,
  startServer,
} from "../support/processes.ts";
import { until } from "../support/until.ts";
import { Workspace } from "../support/workspace.ts";
import { ClusterNode } from "./cluster-node.ts";
import { Kubectl } from "./kubectl.ts";
import { expectNothingLeft, runCgroup } from "./leftovers.ts";
import {
  ClusterNetwork,
  controlPlaneAddress,
  kubernetesServiceAddress,
  type NodeSite,
  nodeSites,
  onNode,
} from "./network.ts";
import { apiUrlForNodes } from "./node-files.ts";
import { podName, testPod } from "./pods.ts";
import { issueServingPair } from "./serving-pair.ts";
import { writeTestImage } from "./test-image.ts";

const kubeletClient = "kube-apiserver-kubelet-client";
const settlesWithinMs = 60_000;

export interface ClusterStart {
  readonly frontend: FrontendKind;
  readonly server?: Implementation;
  /** One on each node, as a process with a certificate; none if told so. */
  readonly agent?: Implementation | "none";
  /** Whether kube-apiserver does; it does if left out. */
  readonly verifiesKubelets?: boolean;
}

const sites: readonly NodeSite[] = Object.values(nodeSites);

type NodeKey = keyof typeof nodeSites;

/**
 * kube-apiserver and etcd beside the tests, and two nodes with containerd and kubelet whose firewalls let nothing in from there: a proxy-server
 * beside kube-apiserver and an agent on each node are the only way. Pods are running on both.
 */
export class Cluster {
  readonly workspace = new Workspace([controlPlaneAddress]);
  readonly kind: FrontendKind;
  readonly agents = new Map<string, ManagedProcess>();
  readonly nodes = new Map<string, ClusterNode>();
  #server: ProxyServer | undefined;
  #api: KubeApi | undefined;
  #kubectl: Kubectl | undefined;
  readonly #closers: (() => Promise<unknown>)[] = [];

  private constructor(kind: FrontendKind) {
    this.kind = kind;
    this.#closers.push(async () => this.workspace.remove());
  }

  /** Resolves when all pods are ready. Leaves nothing behind if it fails. */
  static async start(start: ClusterStart): Promise<Cluster> {
    const { frontend, server = "hawser", agent = "hawser", verifiesKubelets = true } = start;
    const cluster = new Cluster(frontend);
    try {
      await cluster.#startNetwork();
      // kube-apiserver looks for its egress at once.
      await cluster.startServer(server);
      await Promise.all([cluster.#startApi(verifiesKubelets), cluster.#startNodes()]);
      if (agent !== "none") await Promise.all(sites.map((site) => cluster.startAgent(site, agent)));
      await cluster.#startKubelets();
      await cluster.#startPods();
      return cluster;
    } catch (error) {
      await cluster.stop();
      throw error;
    }
  }

  get server(): ProxyServer {
    return present(this.#server, "proxy-server");
  }

  get api(): KubeApi {
    return present(this.#api, "kube-apiserver");
  }

  get kubectl(): Kubectl {
    return present(this.#kubectl, "kubectl");
  }

  node(key: NodeKey): ClusterNode {
    return present(this.nodes.get(nodeSites[key].name), nodeSites[key].name);
  }

  agent(key: NodeKey): ManagedProcess {
    return present(this.agents.get(nodeSites[key].name), `agent of ${nodeSites[key].name}`);
  }

  /** Starts the proxy-server, at first and in place of one that has ended. */
  async startServer(implementation: Implementation): Promise<void> {
    const server = await startServer({
      implementation,
      workspace: this.workspace,
      frontend: this.kind,
      ...(this.#server && { agentPort: this.#server.agentPort }),
      flags: ["--agent-bind-address=0.0.0.0", "--proxy-strategies=destHost,default"],
    });
    this.#server = server;
    this.#closers.push(() => server.stop());
  }

  /** Starts a node's agent, at first and in place of one that has ended. It may not be linked yet. */
  async startAgent(site: NodeSite, implementation: Implementation): Promise<void> {
    const { certificates } = this.workspace;
    const command = await commandOf({ implementation }, "agent", [
      `--proxy-server-host=${controlPlaneAddress}`,
      `--proxy-server-port=${this.server.agentPort}`,
      `--ca-cert=${certificates.agentCa}`,
      `--agent-cert=${certificates.agent.cert}`,
      `--agent-key=${certificates.agent.key}`,
      `--agent-id=${site.name}`,
      `--agent-identifiers=ipv4=${site.address}`,
      "--sync-interval=200ms",
      "--sync-interval-cap=1s",
      "--probe-interval=200ms",
    ]);
    const agent = new ManagedProcess(`${implementation} agent of ${site.name}`, onNode(site, command));
    agent.stdout.resume();
    this.agents.set(site.name, agent);
    this.#closers.push(() => agent.stop());
  }

  /** Resolves when the server counts so many agents. */
  async linked(count: number, implementation: Implementation = "hawser"): Promise<void> {
    const ready = async () => (await readyAgents(this.server, implementation)) === count;
    await until(`${count} linked agents`, ready, this.#settling());
  }

  describe(): string {
    const parts = [this.#server, ...this.agents.values(), ...this.nodes.values()];
    return parts.map((part) => part?.describe() ?? "").join("\n");
  }

  /** Ends and removes all of it; rejects if something is left. */
  async stop(): Promise<void> {
    const failures: unknown[] = [];
    for (const close of this.#closers.splice(0).reverse()) await close().catch((error) => failures.push(error));
    if (failures.length > 0) throw new AggregateError(failures, `the cluster did not end: ${failures.join("; ")}`);
    expectNothingLeft(this.workspace.folder);
  }

  async #startNetwork(): Promise<void> {
    const network = await ClusterNetwork.create();
    this.#closers.push(() => network.remove());
  }

  async #startApi(verifiesKubelets: boolean): Promise<void> {
    const { workspace, kind } = this;
    const egress = writeEgress(workspace, "egress.json", egressConfiguration({ server: this.server, kind, workspace }));
    const { certificates } = workspace;
    const client = issueClientPair(certificates.frontendCa, { commonName: kubeletClient });
    const api = await startKubeApi(workspace, {
      address: controlPlaneAddress,
      names: [controlPlaneAddress, kubernetesServiceAddress],
      flags: [
        egress,
        ...(verifiesKubelets ? [`--kubelet-certificate-authority=${certificates.endpointCa}`] : []),
        `--kubelet-client-certificate=${client.cert}`,
        `--kubelet-client-key=${client.key}`,
        "--kubelet-preferred-address-types=InternalIP",
        "--enable-aggregator-routing",
      ],
    });
    this.#closers.push(() => api.stop());
    this.#api = api;
    this.#kubectl = await Kubectl.find(api.kubeconfig, workspace.folder);
    await bindClusterRole(api, kubeletClient, "system:kubelet-api-admin");
    await api.ensure("/api/v1/namespaces/default/serviceaccounts", { metadata: { name: "default" } });
  }

  async #startNodes(): Promise<void> {
    const { workspace } = this;
    const image = await writeTestImage(workspace.path("image"));
    const clientCa = workspace.certificates.frontendCa;
    const start = async (site: NodeSite) => {
      const node = await ClusterNode.start({ site, workspace, cgroup: runCgroup(), clientCa, image });
      this.nodes.set(site.name, node);
      this.#closers.push(() => node.stop());
    };
    await settled(sites.map(start));
  }

  async #startKubelets(): Promise<void> {
    const { api } = this;
    for (const node of this.nodes.values()) {
      await bindClusterRole(api, userOf(node), "system:node");
      await this.startKubelet(node);
    }
    for (const name of this.nodes.keys()) {
      await until(`${name} is ready`, () => this.#isReady(name), this.#settling());
    }
  }

  async startKubelet(node: ClusterNode): Promise<void> {
    const { api } = this;
    await node.startKubelet(api.writeCertificateKubeconfig(userOf(node), apiUrlForNodes(api.setting.port)));
  }

  async #isReady(node: string): Promise<boolean> {
    const { body } = await this.api.call("GET", `/api/v1/nodes/${node}`);
    const { status } = body as { readonly status?: { readonly conditions?: readonly Record<string, string>[] } };
    return status?.conditions?.some(({ type, status }) => type === "Ready" && status === "True") ?? false;
  }

  async #startPods(): Promise<void> {
    const serving = issueServingPair(this.workspace);
    for (const site of sites) await this.api.ensure("/api/v1/namespaces/default/pods", testPod(site, serving));
    const names = sites.map((site) => `pod/${podName(site)}`);
    try {
      await this.kubectl.output(["wait", "--for=condition=Ready", "--timeout=60s", ...names], { withinMs: 70_000 });
    } catch (error) {
      throw new Error(`pods are not ready\n${this.describe()}`, { cause: error });
    }
  }

  #settling() {
    return { withinMs: settlesWithinMs, describe: () => this.describe() };
  }
}

/** The flag that makes a kube-apiserver dial by this configuration. */
export function writeEgress(workspace: Workspace, name: string, configuration: object): string {
  const path = workspace.path(name);
  writeFileSync(path, JSON.stringify(configuration));
  return `--egress-selector-config-file=${path}`;
}

const userOf = ({ site }: ClusterNode) => `system:node:${site.name}`;

/** Waits for all, also where one fails, so that what was started is known when it is to be stopped. */
async function settled(works: readonly Promise<unknown>[]): Promise<void> {
  for (const result of await Promise.allSettled(works)) if (result.status === "rejected") throw result.reason;
}

function present<T>(value: T | undefined, what: string): T {
  if (value === undefined) throw new Error(`there is no ${what}`);
  return value;
}
