import { createHash } from "node:crypto";
import type { Clock } from "../../shared/clock.ts";
import { GrpcCode, GrpcError } from "../../shared/grpc/status.ts";
import { type KubernetesApi, KubernetesError } from "../../shared/kubernetes/api.ts";
import { tokenMaxBytes } from "../../shared/kubernetes/token-file.ts";
import type { Log } from "../../shared/log.ts";
import { News } from "../../shared/news.ts";
import { type ExpectedAccount, reviewToken, type TokenAccount, type Verdict } from "./token-review.ts";
import { VerdictCache } from "./verdict-cache.ts";

const acceptedMaxMs = 60_000;
const refusedMs = 5_000;
const prefix = "Failed to validate authentication token, err:";

export interface TokenAuthenticatorDeps {
  readonly api: KubernetesApi;
  readonly clock: Clock;
  /** Milliseconds since 1970, in which a token's own end is given. */
  readonly wallClock: () => number;
  readonly log: Log;
}

/**
 * Tells by kube-apiserver whose a token is. What it said is kept: a yes for a minute, but not past the token's end, a no for
 * 5 s, so that a fleet of agents with one token costs one call, and a revoked one goes on for a minute at most. That it did
 * not answer is never kept. Tokens are kept as digests only.
 */
export class TokenAuthenticator {
  readonly #deps: TokenAuthenticatorDeps;
  readonly #expected: ExpectedAccount;
  readonly #cache: VerdictCache;
  /** Those who ask for one token at one time share one call. */
  readonly #underWay = new Map<string, Promise<Verdict>>();
  #failing = false;
  /** Where some reviews fail and some do not, they begin to fail by the hundred. */
  readonly #news: { readonly warn: News; readonly error: News };

  constructor(deps: TokenAuthenticatorDeps, expected: ExpectedAccount) {
    this.#deps = deps;
    this.#expected = expected;
    this.#cache = new VerdictCache(deps);
    this.#news = { warn: new News(deps), error: new News(deps) };
  }

  /**
   * Rejects with a GrpcError: UNAUTHENTICATED and the reference's text for a token that is not taken, UNAVAILABLE if nobody
   * could say. With the signal's reason when it aborts; the call then goes on for the others.
   */
  async authenticate(token: string, { signal }: { readonly signal: AbortSignal }): Promise<TokenAccount> {
    signal.throwIfAborted();
    if (token.trim() === "") throw unauthenticated("lookup failed: the token is empty");
    if (Buffer.byteLength(token) > tokenMaxBytes) {
      throw unauthenticated(`lookup failed: the token is longer than ${tokenMaxBytes} bytes`);
    }
    const verdict = await this.#verdict(token, signal);
    if (verdict.kind === "refused") throw unauthenticated(verdict.reason);
    return verdict.account;
  }

  async #verdict(token: string, signal: AbortSignal): Promise<Verdict> {
    const key = createHash("sha256").update(`${this.#expected.audience}\0${token}`).digest("base64");
    const known = this.#cache.get(key);
    if (known !== undefined) return known;
    let review = this.#underWay.get(key);
    if (review === undefined) {
      review = this.#review(key, token);
      this.#underWay.set(key, review);
    }
    try {
      return await unlessAborted(review, signal);
    } catch (cause) {
      if (signal.aborted || !(cause instanceof KubernetesError)) throw cause;
      const text = `${prefix}Failed to authenticate request. err:the token cannot be reviewed now`;
      throw new GrpcError(GrpcCode.UNAVAILABLE, text, { cause });
    }
  }

  async #review(key: string, token: string): Promise<Verdict> {
    const { api, wallClock } = this.#deps;
    try {
      const verdict = await reviewToken(api, token, this.#expected);
      const lifeMs = verdict.kind === "refused" ? refusedMs : Math.min(acceptedMaxMs, endOf(token) - wallClock());
      this.#cache.set(key, verdict, lifeMs);
      this.#answered();
      return verdict;
    } catch (error) {
      this.#failed(error);
      throw error;
    } finally {
      this.#underWay.delete(key);
    }
  }

  #answered(): void {
    if (!this.#failing) return;
    this.#failing = false;
    this.#deps.log.info("token reviews work again");
  }

  /** That it began to fail is news, and not each agent that is put off for it. */
  #failed(error: unknown): void {
    const status = error instanceof KubernetesError ? error.status : undefined;
    const forbidden = status === 401 || status === 403;
    const level = forbidden ? "error" : "warn";
    if (this.#failing || !this.#news[level].isNews()) return;
    this.#failing = true;
    this.#deps.log[level](
      { err: error, status },
      forbidden
        ? "token reviews fail: this server's own account may not create tokenreviews (ClusterRole system:auth-delegator)"
        : "token reviews fail: new agents are put off until they work again",
    );
  }
}

const unauthenticated = (reason: string): GrpcError => new GrpcError(GrpcCode.UNAUTHENTICATED, `${prefix}${reason}`);

/** Settles as `work` does, or rejects with the signal's reason before. */
function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    signal.addEventListener("abort", abort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
  });
}

/**
 * When a token ends by its own `exp`, in milliseconds since 1970; Infinity if it does not say. Read without proof, which
 * does no harm: it can only shorten how long a verdict is kept. Source: RFC 7519, 4.1.4.
 */
function endOf(token: string): number {
  const [, payload = ""] = token.split(".");
  try {
    const { exp } = JSON.parse(Buffer.from(payload, "base64url").toString()) as { readonly exp?: unknown };
    return typeof exp === "number" ? exp * 1000 : Number.POSITIVE_INFINITY;
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}
