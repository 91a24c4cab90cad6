import { writeFileSync } from "node:fs";
import { issueCertificate } from "../../shared/tls/issue.ts";
import { egressConfiguration } from "../interop/egress-configuration.ts";
import { spawnKubeApi } from "../support/kube-api-processes.ts";
import { freePort } from "../support/ports.ts";
import { type Implementation, type ProxyServer, readyAgents, startServer } from "../support/processes.ts";
import { RoundRobin } from "../support/round-robin.ts";
import { until } from "../support/until.ts";
import { type Cluster, writeEgress } from "./cluster.ts";
import type { Kubectl } from "./kubectl.ts";
import { controlPlaneAddress } from "./network.ts";

/** As the manifests of agents have them. */
export const serverName = "konnectivity-server.kube-system.svc.cluster.local";
const agentPort = 8091;

const settlesWithinMs = 60_000;
const frontend = { protocol: "grpc", transport: "uds" } as const;
const account = { namespace: "kube-system", name: "konnectivity-server" };
const ids = ["one", "two"] as const;

export type ServerId = (typeof ids)[number];

/**
 * Two servers behind one address, each beside a kube-apiserver of its own: they check tokens, and count each other by leases. What they may do of
 * Kubernetes is what deploy/kustomize/server lets them.
 */
export class ServerPair {
  readonly #cluster: Cluster;
  readonly #balancer: RoundRobin;
  readonly #serving: { readonly cert: string; readonly key: string };
  readonly #kubeconfig: string;
  readonly #servers = new Map<ServerId, ProxyServer>();
  readonly #kubectls = new Map<ServerId, Kubectl>();
  readonly #closers: (() => Promise<unknown>)[] = [];

  private constructor(cluster: Cluster, balancer: RoundRobin, kubeconfig: string) {
    this.#cluster = cluster;
    this.#balancer = balancer;
    this.#kubeconfig = kubeconfig;
    this.#serving = writeServing(cluster);
    this.#closers.push(() => balancer.stop());
  }

  /** In place of the cluster's own server; the accounts and roles of `deploy/kustomize/server` are there. Stop it before the cluster. */
  static async start(cluster: Cluster): Promise<ServerPair> {
    const { api, workspace } = cluster;
    await cluster.server.stop();
    const token = await api.createServiceAccountToken(
      account.namespace,
      account.name,
      "https://kubernetes.default.svc",
    );
    const balancer = await RoundRobin.start({ host: controlPlaneAddress, port: agentPort });
    const pair = new ServerPair(cluster, balancer, api.writeKubeconfig(account.name, token));
    try {
      for (const id of ids) await pair.startServer(id, "hawser");
      // The first has taken the place of the cluster's server, for the kube-apiserver that is there.
      pair.#kubectls.set("one", cluster.kubectl);
      const configuration = egressConfiguration({ server: pair.server("two"), kind: frontend, workspace });
      await pair.#startSecondApi(writeEgress(workspace, "second-egress.json", configuration));
      return pair;
    } catch (error) {
      await pair.stop();
      throw error;
    }
  }

  server(id: ServerId): ProxyServer {
    const server = this.#servers.get(id);
    if (server === undefined) throw new Error(`there is no server ${id}`);
    return server;
  }

  /** A client of the kube-apiserver beside this server. */
  kubectl(id: ServerId): Kubectl {
    const kubectl = this.#kubectls.get(id);
    if (kubectl === undefined) throw new Error(`there is no kube-apiserver ${id}`);
    return kubectl;
  }

  /** Starts a server, at first and in place of one that has ended. */
  async startServer(id: ServerId, implementation: Implementation): Promise<void> {
    const server = await startServer({
      implementation,
      workspace: this.#cluster.workspace,
      frontend,
      ...(id === "two" && { socketName: "second.sock" }),
      flags: [
        `--server-id=${id}`,
        "--proxy-strategies=destHost,default",
        "--cluster-ca-cert=",
        `--cluster-cert=${this.#serving.cert}`,
        `--cluster-key=${this.#serving.key}`,
        "--agent-namespace=kube-system",
        "--agent-service-account=konnectivity-agent",
        "--authentication-audience=system:konnectivity-server",
        `--kubeconfig=${this.#kubeconfig}`,
        "--enable-lease-controller",
      ],
    });
    this.#servers.set(id, server);
    this.#closers.push(() => server.stop());
    this.#balancer.targets = [...this.#servers.values()].map(({ agentPort }) => agentPort);
  }

  /** Resolves when each server has so many agents. */
  async linked(count: number): Promise<void> {
    let last = "";
    const ready = async () => {
      const counts = await Promise.all(ids.map((id) => readyAgents(this.server(id), "hawser")));
      last = `servers have ${counts.join(" and ")} agents`;
      return counts.every((linked) => linked === count);
    };
    const describe = () => [last, ...ids.map((id) => this.server(id).describe())].join("\n");
    await until(`${count} agents at each server`, ready, { withinMs: settlesWithinMs, describe });
  }

  async stop(): Promise<void> {
    for (const close of this.#closers.splice(0).reverse()) await close();
  }

  async #startSecondApi(egress: string): Promise<void> {
    const { api, workspace, kubectl } = this.#cluster;
    const port = await freePort();
    // Of a flag given twice the last one counts.
    const flags = [...api.setting.flags, egress];
    const second = await spawnKubeApi(workspace, { ...api.setting, port, flags });
    this.#closers.push(() => second.stop());
    const client = kubectl.at(`https://127.0.0.1:${port}`);
    this.#kubectls.set("two", client);
    const ready = async () => (await client.run(["get", "--raw", "/readyz"])).code === 0;
    const describe = () => second.describe();
    await until("the second kube-apiserver: ready", ready, {
      withinMs: settlesWithinMs,
      signal: second.gone,
      describe,
    });
  }
}

/** What agents check by the authority of the cluster, which is all that their pods know. */
function writeServing({ api, workspace }: Cluster): { readonly cert: string; readonly key: string } {
  const names = [serverName, controlPlaneAddress];
  const pair = issueCertificate(api.setting.ca, { commonName: "server", validityDays: 1, usages: ["server"], names });
  const files = { cert: workspace.path("agents.crt"), key: workspace.path("agents.key") };
  writeFileSync(files.cert, pair.cert);
  writeFileSync(files.key, pair.key, { mode: 0o600 });
  return files;
}
