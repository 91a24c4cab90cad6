import type { Clock } from "../clock.ts";
import { type Counter, Histogram } from "../metrics/instruments.ts";
import { counters, Family, type Registry } from "../metrics/registry.ts";
import { KubernetesError } from "./api.ts";

/** Reasons that kube-apiserver gives are CamelCase words; so many different ones are counted under their own names. */
const reasonShape = /^[A-Za-z]{0,64}$/;
const reasonsMax = 32;

/** How a call to kube-apiserver is counted. A call without an answer has no status and is not. */
export interface CallMeter {
  /** `seconds` is left out where a latency would say nothing, as of a watch. */
  answered(status: number, reason: string, seconds?: number): void;
}

/** The family `calls` by status and reason, and, if named, the family `latency` by status. */
export function callMeter<CodeLabel extends string>(
  registry: Registry,
  options: {
    readonly codeLabel: CodeLabel;
    readonly calls: { readonly name: string; readonly help: string };
    readonly latency?: { readonly name: string; readonly help: string; readonly bounds: readonly number[] };
  },
): CallMeter {
  const { codeLabel, latency } = options;
  const calls = counters(registry, { ...options.calls, labels: [codeLabel, "reason"] });
  const latencies =
    latency &&
    new Family(registry, {
      type: "histogram",
      name: latency.name,
      help: latency.help,
      labels: [codeLabel],
      create: () => new Histogram(latency.bounds),
    });
  const reasons = new Set<string>();
  return {
    answered(status, reason, seconds) {
      const code = { [codeLabel]: String(status) } as Record<CodeLabel, string>;
      const counter: Counter = calls.labelled({ ...code, reason: bounded(reasons, reason) });
      counter.inc();
      if (seconds !== undefined) latencies?.labelled(code).observe(seconds);
    },
  };
}

function bounded(known: Set<string>, reason: string): string {
  if (!known.has(reason) && (known.size >= reasonsMax || !reasonShape.test(reason))) return "other";
  known.add(reason);
  return reason;
}

/** Makes the call and counts it. Settles as the call does. */
export async function measured<T>(clock: Clock, meter: CallMeter, call: () => Promise<T>): Promise<T> {
  const startedAt = clock.now();
  const seconds = () => (clock.now() - startedAt) / 1000;
  try {
    const result = await call();
    meter.answered(200, "", seconds());
    return result;
  } catch (error) {
    if (isAnswer(error)) meter.answered(error.status, error.reason, seconds());
    throw error;
  }
}

/** Whether kube-apiserver itself said so, as opposed to not having been reached. */
export function isAnswer(error: unknown): error is KubernetesError {
  return error instanceof KubernetesError && error.status !== 0;
}
