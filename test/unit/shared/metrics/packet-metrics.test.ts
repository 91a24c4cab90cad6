import { describe, expect, it } from "vitest";
import { GrpcCode } from "../../../../shared/grpc/status.ts";
import { PacketMetrics } from "../../../../shared/metrics/packet-metrics.ts";
import { expose, openRegistry } from "../../../../shared/metrics/registry.ts";
import { parseExposition } from "./exposition.ts";

function open() {
  const registry = openRegistry({ version: "0" });
  const meter = new PacketMetrics(registry, "x_").meter({ sent: "to_agent", received: "from_agent" });
  /** Samples as `[value, ...label values]`. */
  const samples = async (name: string) => {
    const family = parseExposition(await expose(registry)).get(name);
    return family?.samples.map(({ labels, value }) => [value, ...Object.values(labels)]) ?? [];
  };
  return { meter, samples };
}

describe("a packet meter", () => {
  it("counts by segment and type, and shows no type that did not occur", async () => {
    const { meter, samples } = open();
    meter.sent("DIAL_REQ");
    for (const type of ["DIAL_RSP", "DATA", "DATA", "DATA"]) meter.received(type);
    expect(await samples("x_stream_packets_total")).toEqual([
      [1, "to_agent", "DIAL_REQ"],
      [1, "from_agent", "DIAL_RSP"],
      [3, "from_agent", "DATA"],
    ]);
  });

  it("counts unknown types by number, but a peer cannot make more than a few of them", async () => {
    const { meter, samples } = open();
    for (let number = 7; number < 10_000; number += 1) meter.received(String(number));
    meter.received("7");
    const counted = await samples("x_stream_packets_total");
    expect(counted.slice(0, 2)).toEqual([
      [2, "from_agent", "7"],
      [1, "from_agent", "8"],
    ]);
    expect(counted).toHaveLength(17);
    expect(counted.at(-1)).toEqual([9993 - 16, "from_agent", "other"]);
  });

  it("counts failures by Go's name of the code", async () => {
    const { meter, samples } = open();
    meter.sendFailed("DATA");
    meter.sendFailed("DATA", GrpcCode.CANCELLED);
    meter.receiveFailed();
    meter.receiveFailed(GrpcCode.RESOURCE_EXHAUSTED);
    expect(await samples("x_stream_errors_total")).toEqual([
      [1, "to_agent", "Unavailable", "DATA"],
      [1, "to_agent", "Canceled", "DATA"],
      [1, "from_agent", "Unknown", "Unknown"],
      [1, "from_agent", "ResourceExhausted", "Unknown"],
    ]);
  });

  it("knows all codes of Go", async () => {
    const { meter, samples } = open();
    for (const code of Object.values(GrpcCode)) meter.receiveFailed(code);
    expect((await samples("x_stream_errors_total")).map(([, , code]) => code)).toEqual(
      (
        "OK Canceled Unknown InvalidArgument DeadlineExceeded NotFound AlreadyExists PermissionDenied ResourceExhausted " +
        "FailedPrecondition Aborted OutOfRange Unimplemented Internal Unavailable DataLoss Unauthenticated"
      ).split(" "),
    );
  });
});
