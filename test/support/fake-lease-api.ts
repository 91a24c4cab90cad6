import { type KubernetesApi, KubernetesError, type WatchEvent } from "../../shared/kubernetes/api.ts";
import type { Lease, LeaseList } from "../../shared/kubernetes/lease.ts";
import { parseLabelSelector } from "../../shared/options/label-selector.ts";

type Method = Parameters<KubernetesApi["request"]>[0];
type WatchOptions = Parameters<KubernetesApi["watch"]>[1];

export interface LeaseCall {
  readonly method: Method | "WATCH";
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  readonly body: unknown;
}

interface Watcher {
  readonly selects: (lease: Lease) => boolean;
  readonly offer: (event: WatchEvent<Lease>) => void;
  readonly end: (error?: Error) => void;
}

const collection = /^\/apis\/coordination\.k8s\.io\/v1\/namespaces\/([^/]+)\/leases(?:\/([^/]+))?$/;
const conflict = () => new KubernetesError(409, "Conflict", "the object has been modified");
const notFound = () => new KubernetesError(404, "NotFound", "no such lease");

/** kube-apiserver's leases in memory: versions, preconditions, selectors and watches as it has them. A test breaks it at will. */
export class FakeLeaseApi implements KubernetesApi {
  readonly calls: LeaseCall[] = [];
  /** What every call fails with while it stands; calls for which it gives undefined go on. */
  failing: (call: LeaseCall) => KubernetesError | undefined = () => undefined;
  /** While it is true, calls are taken and not answered. */
  hanging = false;
  readonly #leases = new Map<string, Lease>();
  readonly #watchers = new Set<Watcher>();
  #version = 100;
  /** Watches from before it fail with 410. */
  #oldestVersion = 0;

  get leases(): readonly Lease[] {
    return [...this.#leases.values()];
  }

  get watchCount(): number {
    return this.#watchers.size;
  }

  lease(name: string): Lease | undefined {
    return this.leases.find(({ metadata }) => metadata.name === name);
  }

  /** Puts a lease in place, as somebody else would. */
  put(lease: Lease): Lease {
    const namespace = lease.metadata.namespace ?? "kube-system";
    const key = `${namespace}/${lease.metadata.name}`;
    const stored = { ...lease, metadata: { ...lease.metadata, namespace, resourceVersion: String(++this.#version) } };
    const type = this.#leases.has(key) ? "MODIFIED" : "ADDED";
    this.#leases.set(key, stored);
    this.#tell(type, stored);
    return stored;
  }

  /** Takes a lease away, as somebody else would. */
  remove(name: string): void {
    for (const [key, lease] of this.#leases) {
      if (lease.metadata.name !== name) continue;
      this.#leases.delete(key);
      this.#version += 1;
      this.#tell("DELETED", lease);
    }
  }

  bookmark(): void {
    const metadata = { name: "", resourceVersion: String(this.#version) };
    for (const { offer } of this.#watchers) offer({ type: "BOOKMARK", object: { metadata } });
  }

  /** Ends every watch: in good order, or with an error. */
  endWatches(error?: Error): void {
    for (const watcher of [...this.#watchers]) watcher.end(error);
  }

  /** Forgets the past: a watch from a version before this moment fails. */
  forget(): void {
    this.#oldestVersion = ++this.#version;
  }

  async request<T>(...[method, path, options = {}]: Parameters<KubernetesApi["request"]>): Promise<T> {
    const { query = {}, body, signal } = options;
    // What is sent is what JSON makes of it.
    const call = { method, path, query, body: body === undefined ? undefined : JSON.parse(JSON.stringify(body)) };
    await this.#take(call, signal);
    return this.#answer(call) as T;
  }

  async *watch<T>(path: string, { query, resourceVersion, signal }: WatchOptions): AsyncGenerator<WatchEvent<T>> {
    await this.#take({ method: "WATCH", path, query: { ...query, resourceVersion }, body: undefined }, signal);
    if (Number(resourceVersion) < this.#oldestVersion) throw new KubernetesError(410, "Expired", "too old");
    const events: WatchEvent<Lease>[] = [];
    let ended: { readonly error: Error | undefined } | undefined;
    let wake = () => {};
    const end = (error?: Error) => {
      this.#watchers.delete(watcher);
      ended ??= { error };
      wake();
    };
    const offer = (event: WatchEvent<Lease>) => {
      events.push(event);
      wake();
    };
    const watcher = { selects: selectorOf(path, query.labelSelector), offer, end };
    this.#watchers.add(watcher);
    const abort = () => end(signal.reason);
    signal.addEventListener("abort", abort, { once: true });
    try {
      for (;;) {
        for (const event of events.splice(0)) yield event as WatchEvent<T>;
        if (ended?.error !== undefined) throw ended.error;
        if (ended !== undefined) return;
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    } finally {
      signal.removeEventListener("abort", abort);
      this.#watchers.delete(watcher);
    }
  }

  async #take(call: LeaseCall, signal: AbortSignal | undefined): Promise<void> {
    signal?.throwIfAborted();
    this.calls.push(call);
    if (this.hanging) {
      await new Promise<never>((_resolve, reject) => {
        signal?.addEventListener("abort", () => reject(signal.reason), { once: true });
      });
    }
    // An answer never comes in the turn of its question.
    await Promise.resolve();
    const failure = this.failing(call);
    if (failure !== undefined) throw failure;
  }

  #answer({ method, path, query, body }: LeaseCall): Lease | LeaseList | object {
    const [, namespace = "", name] = collection.exec(path) ?? [];
    if (namespace === "") throw new KubernetesError(404, "NotFound", `no such path: ${path}`);
    if (name === undefined) {
      if (method === "POST") return this.#create(namespace, body as Lease);
      const items = this.leases.filter(selectorOf(path, query.labelSelector));
      return { metadata: { resourceVersion: String(this.#version) }, items };
    }
    const known = this.#leases.get(`${namespace}/${name}`);
    if (known === undefined) throw notFound();
    if (method === "GET") return known;
    const wanted = method === "PUT" ? (body as Lease).metadata.resourceVersion : preconditionOf(body);
    if (wanted !== undefined && wanted !== known.metadata.resourceVersion) throw conflict();
    if (method === "PUT") return this.put(body as Lease);
    this.remove(name);
    return { kind: "Status", status: "Success" };
  }

  #create(namespace: string, lease: Lease): Lease {
    if (this.#leases.has(`${namespace}/${lease.metadata.name}`)) {
      throw new KubernetesError(409, "AlreadyExists", "there is such a lease");
    }
    return this.put({ ...lease, metadata: { ...lease.metadata, namespace } });
  }

  #tell(type: WatchEvent<Lease>["type"], lease: Lease): void {
    for (const { selects, offer } of this.#watchers) if (selects(lease)) offer({ type, object: lease });
  }
}

function preconditionOf(body: unknown): string | undefined {
  return (body as { preconditions?: { resourceVersion?: string } } | undefined)?.preconditions?.resourceVersion;
}

/** Knows the selectors that ask for a value of a label. */
function selectorOf(path: string, selector = ""): (lease: Lease) => boolean {
  const [, namespace] = collection.exec(path) ?? [];
  const requirements = parseLabelSelector(selector);
  return ({ metadata }) =>
    metadata.namespace === namespace &&
    requirements.every(({ key, values }) => values.includes(metadata.labels?.[key] ?? ""));
}
