import { Cancellation } from "../cancellation.ts";
import type { Clock } from "../clock.ts";
import type { Log } from "../log.ts";
import { answeredError, parseObject, readBody, readLines, statusError } from "./answer-body.ts";
import { type KubernetesApi, KubernetesError, type WatchEvent } from "./api.ts";
import type { ClusterAccess } from "./cluster-access.ts";
import { HttpsTransport } from "./https-transport.ts";
import { TokenBucket } from "./token-bucket.ts";

export interface KubernetesClient extends KubernetesApi {
  /** One for the same cluster, whose calls wait behind none of this one's: it has a rate limit and connections of its own. Closed with this one. */
  separate(): KubernetesApi;
  /** Closes the kept connections and ends what runs on them. */
  close(): void;
}

export interface KubernetesClientOptions {
  /** Calls a second in the long run; below 0 means no limit. */
  readonly qps: number;
  /** Calls at once. */
  readonly burst: number;
  readonly clock: Clock;
  readonly log: Log;
}

const requestTimeoutMs = 10_000;
/** kube-apiserver ends a watch after so long, so that one which hangs is noticed at all; and is granted this much to do so. */
const watchSeconds = 300;
const watchGraceMs = 30_000;

/**
 * kube-apiserver over HTTPS, in JSON. Each call counts against the rate limit, a watch once, when it begins; it waits for its turn half of
 * its time at most, so that the answer of one that goes has the other half: if calls went with no time left, a rush of them would bring none.
 * A watch that does not say `timeoutSeconds` lasts 300 s; one that is not over 30 s later breaks with a KubernetesError.
 */
export function createKubernetesClient(access: ClusterAccess, options: KubernetesClientOptions): KubernetesClient {
  return new HttpsKubernetesClient(access, options);
}

class HttpsKubernetesClient implements KubernetesClient {
  readonly #access: ClusterAccess;
  readonly #options: KubernetesClientOptions;
  readonly #separate: KubernetesClient[] = [];
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #bucket: TokenBucket;
  readonly #transport: HttpsTransport;

  constructor(access: ClusterAccess, options: KubernetesClientOptions) {
    const { qps, burst, clock, log } = options;
    this.#access = access;
    this.#options = options;
    this.#clock = clock;
    this.#log = log;
    this.#bucket = new TokenBucket({ clock }, { perSecond: qps, burst });
    this.#transport = new HttpsTransport({ clock }, access);
  }

  async request<T>(...[method, path, options = {}]: Parameters<KubernetesApi["request"]>): Promise<T> {
    const { query = {}, body, timeoutMs = requestTimeoutMs, signal: caller } = options;
    const limit = this.#limit(timeoutMs, caller);
    const { signal } = limit;
    try {
      await this.#bucket.take({ maxWaitMs: timeoutMs / 2, signal });
      const call = { method, path, query, body: body === undefined ? undefined : JSON.stringify(body) };
      const response = await this.#transport.send(call, { signal });
      const { statusCode: status = 0 } = response;
      this.#log.debug({ method, path, status }, "kube-apiserver answered");
      const text = await readBody(response);
      if (status < 200 || status > 299) throw answeredError(status, text);
      return parseObject(status, text) as T;
    } catch (error) {
      throw signal.aborted ? signal.reason : error;
    } finally {
      limit.release();
    }
  }

  async *watch<T>(...[path, options]: Parameters<KubernetesApi["watch"]>): AsyncGenerator<WatchEvent<T>> {
    const { resourceVersion, signal: caller } = options;
    const query = {
      timeoutSeconds: String(watchSeconds),
      ...options.query,
      watch: "true",
      allowWatchBookmarks: "true",
      resourceVersion,
    };
    // The head of an answer comes at once, unlike its end.
    const limit = this.#limit(requestTimeoutMs, caller);
    const { signal } = limit;
    try {
      await this.#bucket.take({ maxWaitMs: requestTimeoutMs / 2, signal });
      const response = await this.#transport.send({ method: "GET", path, query, body: undefined }, { signal });
      const { statusCode: status = 0 } = response;
      if (status !== 200) throw answeredError(status, await readBody(response));
      limit.restart(Number(query.timeoutSeconds) * 1000 + watchGraceMs);
      for await (const line of readLines(response)) yield watchEvent<T>(line);
    } catch (error) {
      throw signal.aborted ? signal.reason : error;
    } finally {
      limit.release();
    }
  }

  separate(): KubernetesApi {
    const client = new HttpsKubernetesClient(this.#access, this.#options);
    this.#separate.push(client);
    return client;
  }

  close(): void {
    this.#transport.close();
    for (const client of this.#separate) client.close();
  }

  /** Throws the caller's reason if its signal has aborted already. */
  #limit(limitMs: number, caller: AbortSignal | undefined): Cancellation<AbortController> {
    caller?.throwIfAborted();
    const lateReason = (ms: number) => new KubernetesError(0, "", `no answer from kube-apiserver within ${ms} ms`);
    const controller = new AbortController();
    return new Cancellation({ clock: this.#clock }, { controller, signal: caller, limitMs, lateReason });
  }
}

/** Throws a KubernetesError for an ERROR event, such as that of a version that is too old, and for what is no event. */
function watchEvent<T>(line: string): WatchEvent<T> {
  const { type, object } = parseObject(200, line);
  if (type === "ERROR") {
    const status = (object ?? {}) as Readonly<Record<string, unknown>>;
    throw statusError(typeof status.code === "number" ? status.code : 0, status);
  }
  if (type !== "ADDED" && type !== "MODIFIED" && type !== "DELETED" && type !== "BOOKMARK") {
    throw new KubernetesError(200, "", "kube-apiserver's watch sent what is no event");
  }
  return { type, object: object as T };
}
