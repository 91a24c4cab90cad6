import { readFileSync, writeFileSync } from "node:fs";
import { request } from "node:https";
import { issueCertificate } from "../../shared/tls/issue.ts";
import {
  type KubeApiOptions,
  type KubeApiSetting,
  spawnEtcd,
  spawnKubeApi,
  writeKubeApiSetting,
} from "./kube-api-processes.ts";
import type { ManagedProcess } from "./managed-process.ts";
import { freePort } from "./ports.ts";
import { until } from "./until.ts";
import type { Workspace } from "./workspace.ts";

const startWithinMs = 60_000;
const requestWithinMs = 10_000;

export interface KubeAnswer {
  readonly status: number;
  /** The parsed body; undefined for one that is not JSON. */
  readonly body: unknown;
}

/** A real kube-apiserver with its etcd on 127.0.0.1. Nothing else of a cluster: no controllers, no nodes. */
export class KubeApi {
  readonly url: string;
  /** Path of a kubeconfig whose user may do everything. */
  readonly kubeconfig: string;
  readonly #workspace: Workspace;
  readonly #setting: KubeApiSetting;
  readonly #etcd: ManagedProcess;
  #server: ManagedProcess | undefined;

  private constructor(workspace: Workspace, setting: KubeApiSetting, etcd: ManagedProcess) {
    this.#workspace = workspace;
    this.#setting = setting;
    this.#etcd = etcd;
    this.url = setting.url;
    this.kubeconfig = this.writeKubeconfig("administrator", setting.adminToken);
  }

  /** Builds both programs if need be, which takes minutes with cold caches. Resolves when the API is ready. */
  static async start(workspace: Workspace, options: KubeApiOptions = {}): Promise<KubeApi> {
    const ports = { api: options.port ?? (await freePort()), etcd: await freePort() };
    const setting = writeKubeApiSetting(workspace, ports, options);
    const api = new KubeApi(workspace, setting, await spawnEtcd(workspace, setting, await freePort()));
    try {
      await api.startServing();
      return api;
    } catch (error) {
      await api.stop();
      throw error;
    }
  }

  /** Resolves when the API is ready, at first and after `stopServing`; what it held before it holds still. */
  async startServing(): Promise<void> {
    const server = await spawnKubeApi(this.#workspace, this.#setting);
    this.#server = server;
    const ready = async () => (await this.call("GET", "/readyz")).status === 200;
    const describe = () => `${this.#etcd.describe()}\n${server.describe()}`;
    await until("kube-apiserver: ready", ready, { withinMs: startWithinMs, signal: server.gone, describe });
  }

  /** Kills kube-apiserver, and with it every watch and connection; etcd stays. */
  async stopServing(): Promise<void> {
    await this.#server?.stop();
    this.#server = undefined;
  }

  /** Lets it hang: connections stay and are taken, and nothing is answered, until `resume`. */
  pause(): void {
    this.#server?.kill("SIGSTOP");
  }

  resume(): void {
    this.#server?.kill("SIGCONT");
  }

  /** What vouches for the API and its users, and what service accounts' tokens are signed with. */
  get setting(): KubeApiSetting {
    return this.#setting;
  }

  /**
   * A token of a service account, which is made, with its namespace, if it is not there. The API gives none that lasts less
   * than 600 s. With `boundTo`, a Pod of the account's namespace or a Node, it is good for as long as that is there.
   */
  async createServiceAccountToken(
    namespace: string,
    account: string,
    audience: string,
    boundTo?: { readonly kind: "Pod" | "Node"; readonly name: string },
  ): Promise<string> {
    const accounts = `/api/v1/namespaces/${namespace}/serviceaccounts`;
    await this.ensure("/api/v1/namespaces", { metadata: { name: namespace } });
    await this.ensure(accounts, { metadata: { name: account } });
    const boundObjectRef = boundTo && { apiVersion: "v1", ...boundTo };
    const spec = { audiences: [audience], expirationSeconds: 600, boundObjectRef };
    const { status, body } = await this.call("POST", `${accounts}/${account}/token`, { spec });
    if (status !== 201) throw new Error(`token of ${namespace}/${account}: ${status} ${JSON.stringify(body)}`);
    return (body as { readonly status: { readonly token: string } }).status.token;
  }

  /** Writes a kubeconfig, whose user has this token, into the workspace and returns its path. */
  writeKubeconfig(name: string, token: string): string {
    return this.#writeKubeconfig(name, { token }, { "certificate-authority": this.#setting.caCert });
  }

  /** The same with a certificate for this user, all of it in the file itself, as kubeadm writes them. `url` is where the user finds the API. */
  writeCertificateKubeconfig(user: string, url = this.url): string {
    const base64 = (text: string) => Buffer.from(text).toString("base64");
    const { ca } = this.#setting;
    const pair = issueCertificate(ca, { commonName: user, validityDays: 1, usages: ["client"], names: [] });
    return this.#writeKubeconfig(
      user.replaceAll(":", "-"),
      { "client-certificate-data": base64(pair.cert), "client-key-data": base64(pair.key) },
      { "certificate-authority-data": base64(ca.cert), server: url },
    );
  }

  #writeKubeconfig(name: string, user: object, cluster: object): string {
    const path = this.#workspace.path(`${name}.kubeconfig`);
    const config = {
      apiVersion: "v1",
      kind: "Config",
      "current-context": "test",
      contexts: [{ name: "test", context: { cluster: "test", user: name } }],
      clusters: [{ name: "test", cluster: { server: this.url, ...cluster } }],
      users: [{ name, user }],
    };
    // JSON is YAML.
    writeFileSync(path, JSON.stringify(config), { mode: 0o600 });
    return path;
  }

  /** One request as the administrator, or as the bearer of `token`. Rejects where there is no answer. */
  call(method: string, path: string, body?: object, token = this.#setting.adminToken): Promise<KubeAnswer> {
    const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
    const ca = readFileSync(this.#setting.caCert);
    const signal = AbortSignal.timeout(requestWithinMs);
    return new Promise((resolve, reject) => {
      const call = request(this.url + path, { method, headers, ca, signal, agent: false }, (response) => {
        let text = "";
        response.setEncoding("utf8");
        response.on("data", (part: string) => {
          text += part;
        });
        response.on("end", () => {
          const isJson = response.headers["content-type"]?.startsWith("application/json") ?? false;
          resolve({ status: response.statusCode ?? 0, body: isJson ? JSON.parse(text) : undefined });
        });
        response.on("error", reject);
      });
      call.on("error", reject);
      call.end(body === undefined ? undefined : JSON.stringify(body));
    });
  }

  async stop(): Promise<void> {
    await this.stopServing();
    await this.#etcd.stop();
  }

  /** Makes an object unless it is there. */
  async ensure(collection: string, object: object): Promise<void> {
    const { status, body } = await this.call("POST", collection, object);
    // 409: it is there.
    if (status !== 201 && status !== 409) throw new Error(`POST ${collection}: ${status} ${JSON.stringify(body)}`);
  }
}

/** Starts a kube-apiserver whose files and data are in `workspace`; stop it before that is removed. */
export function startKubeApi(workspace: Workspace, options: KubeApiOptions = {}): Promise<KubeApi> {
  return KubeApi.start(workspace, options);
}
