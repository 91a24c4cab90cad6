import { expect, test } from "vitest";
import { sumOfSamples } from "../../../../cli/client/metrics.ts";

const page = `# HELP open_total Things.
# TYPE open_total gauge
open_total 3
grpc{service_method="Proxy",side="a}b"} 2
grpc{service_method="Connect"} 5
grpc_more{service_method="Proxy"} 100
seconds_count 7
`;

test.each([
  ["a plain sample", "open_total", {}, 3],
  ["all samples of a family", "grpc", {}, 7],
  ["those with a label", "grpc", { service_method: "Proxy" }, 2],
  ["those with all labels", "grpc", { service_method: "Proxy", side: "a}b" }, 2],
  ["none with that value", "grpc", { service_method: "Prox" }, undefined],
  ["none with that label's end", "grpc", { method: "Proxy" }, undefined],
  ["no such family", "seconds", {}, undefined],
])("%s", (_what, name, labels, expected) => {
  expect(sumOfSamples(page, name, labels as Record<string, string>)).toBe(expected);
});
