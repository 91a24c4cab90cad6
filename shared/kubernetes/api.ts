/** What a call to kube-apiserver can fail with. */
export class KubernetesError extends Error {
  override readonly name = "KubernetesError";
  /** HTTP status; 0 if there was no answer (refused, timed out, TLS). */
  readonly status: number;
  /** The `reason` of the answered Status object, such as NotFound or Conflict; empty if there was none. */
  readonly reason: string;

  constructor(status: number, reason: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.status = status;
    this.reason = reason;
  }
}

export interface WatchEvent<T> {
  readonly type: "ADDED" | "MODIFIED" | "DELETED" | "BOOKMARK";
  readonly object: T;
}

/** The part of kube-apiserver's REST API that the two halves use. JSON both ways. */
export interface KubernetesApi {
  /**
   * One request. Resolves to the decoded body. Rejects with KubernetesError, within `timeoutMs` (default 10 s) at the latest, at once if
   * it would wait half of that for its turn;
   * when `signal` aborts, with its reason.
   */
  request<T>(
    method: "GET" | "POST" | "PUT" | "DELETE",
    path: string,
    options?: {
      readonly query?: Readonly<Record<string, string>>;
      readonly body?: unknown;
      readonly timeoutMs?: number;
      readonly signal?: AbortSignal;
    },
  ): Promise<T>;
  /**
   * Watches a collection from `resourceVersion` on. Ends when the server ends the watch; throws KubernetesError when it
   * breaks or the version is too old (status 410); throws the signal's reason.
   */
  watch<T>(
    path: string,
    options: {
      readonly query: Readonly<Record<string, string>>;
      readonly resourceVersion: string;
      readonly signal: AbortSignal;
    },
  ): AsyncIterable<WatchEvent<T>>;
}
