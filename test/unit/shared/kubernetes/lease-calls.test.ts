import { expect, it } from "vitest";
import { KubernetesError } from "../../../../shared/kubernetes/api.ts";
import { callMeter, measured } from "../../../../shared/kubernetes/lease-calls.ts";
import { expose, openRegistry } from "../../../../shared/metrics/registry.ts";
import { FakeClock } from "../../../support/fake-clock.ts";
import { familiesOf } from "../metrics/exposition.ts";

function metered() {
  const registry = openRegistry({ version: "0" });
  const meter = callMeter(registry, {
    codeLabel: "code",
    calls: { name: "t_calls", help: "Calls." },
    latency: { name: "t_latency", help: "Latency.", bounds: [1, 2] },
  });
  const samples = async (name: string) => familiesOf(await expose(registry), "t_")[name]?.samples ?? [];
  return { meter, samples };
}

it("counts calls by status and reason, with their latency by status", async () => {
  const { meter, samples } = metered();
  const clock = new FakeClock();
  const after = (ms: number, end: () => string) => () => {
    clock.advance(ms);
    return Promise.resolve().then(end);
  };
  await expect(
    measured(
      clock,
      meter,
      after(500, () => "answer"),
    ),
  ).resolves.toBe("answer");
  const gone = new KubernetesError(404, "NotFound", "gone");
  const failed = (error: Error) => () => {
    throw error;
  };
  await expect(measured(clock, meter, after(1_500, failed(gone)))).rejects.toBe(gone);
  expect((await samples("calls")).map(({ labels, value }) => [labels, value])).toEqual([
    [{ code: "200", reason: "" }, 1],
    [{ code: "404", reason: "NotFound" }, 1],
  ]);
  const sums = (await samples("latency")).filter(({ name }) => name === "t_latency_sum");
  expect(sums.map(({ labels, value }) => [labels.code, value])).toEqual([
    ["200", 0.5],
    ["404", 1.5],
  ]);
});

it("does not count a call without an answer", async () => {
  const { meter, samples } = metered();
  for (const error of [new KubernetesError(0, "", "refused"), new Error("stopped")]) {
    await expect(measured(new FakeClock(), meter, () => Promise.reject(error))).rejects.toBe(error);
  }
  expect(await samples("calls")).toEqual([]);
});

it("keeps few reasons, and none that is not one word", async () => {
  const { meter, samples } = metered();
  meter.answered(500, 'a"\n');
  for (let index = 0; index < 100; index++) meter.answered(500, `Reason${"x".repeat(index)}`);
  const counted = await samples("calls");
  expect(counted.length).toBeLessThanOrEqual(33);
  expect(counted.find(({ labels }) => labels.reason === "other")?.value).toBeGreaterThanOrEqual(69);
});
