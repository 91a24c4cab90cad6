import type { Clock } from "../clock.ts";
import { KubernetesError } from "./api.ts";

/** Joins the caller's signal with a time limit for as long as one call lasts. `release` it when the call is over. */
export class CallLimit {
  readonly #clock: Clock;
  readonly #caller: AbortSignal | undefined;
  readonly #controller = new AbortController();
  readonly #abort = () => this.#controller.abort(this.#caller?.reason);
  #cancel: () => void;

  /** Throws the caller's reason if its signal has aborted already. */
  constructor(
    deps: { readonly clock: Clock },
    { timeoutMs, caller }: { readonly timeoutMs: number; readonly caller: AbortSignal | undefined },
  ) {
    caller?.throwIfAborted();
    this.#clock = deps.clock;
    this.#caller = caller;
    caller?.addEventListener("abort", this.#abort, { once: true });
    this.#cancel = this.#arm(timeoutMs);
  }

  /** Aborts with the caller's reason, or with a KubernetesError when the time is up. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Grants `timeoutMs` from now on, in place of what is left. */
  restart(timeoutMs: number): void {
    this.#cancel();
    this.#cancel = this.#arm(timeoutMs);
  }

  release(): void {
    this.#cancel();
    this.#caller?.removeEventListener("abort", this.#abort);
  }

  #arm(timeoutMs: number): () => void {
    return this.#clock.after(timeoutMs, () =>
      this.#controller.abort(new KubernetesError(0, "", `no answer from kube-apiserver within ${timeoutMs} ms`)),
    );
  }
}
