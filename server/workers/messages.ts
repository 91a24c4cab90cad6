import type { HttpAnswer } from "../../shared/http/listener.ts";
import type { MetricsPage } from "../../shared/metrics/page.ts";
import type { ServerOptions } from "../options.ts";

/** What the primary may ask of a worker, and what it gets. */
export interface Answers {
  readonly ready: boolean;
  readonly metrics: MetricsPage;
  /** A page of profiles. */
  readonly profile: HttpAnswer;
}

export type Question =
  | { readonly what: "ready" }
  | { readonly what: "metrics" }
  | { readonly what: "profile"; readonly path: string; readonly query: string };

export interface WorkerStart {
  readonly worker: number;
  readonly options: ServerOptions;
}

export type ToWorker =
  /** The first message; the answer to `awake`. */
  | ({ readonly kind: "start" } & WorkerStart)
  | { readonly kind: "ask"; readonly id: number; readonly question: Question }
  /** Nobody waits for this answer any more. */
  | { readonly kind: "forget"; readonly id: number }
  /** The first signal, and the second. */
  | { readonly kind: "stop" }
  | { readonly kind: "hurry" };

export type FromWorker =
  /** It listens to messages: those that come before are lost. */
  | { readonly kind: "awake" }
  | { readonly kind: "started" }
  /** It cannot start, and exits. */
  | { readonly kind: "failed"; readonly reason: string }
  | { readonly kind: "answer"; readonly id: number; readonly answer: Answers[keyof Answers] };
