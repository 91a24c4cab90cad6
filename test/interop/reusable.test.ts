import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Tunnel } from "../support/tunnel.ts";
import { isWanted, nameOf, type Pairing, reusableCells } from "./cells.ts";
import { GoEndpoints } from "./go-endpoints.ts";
import { type Baseline, baselineOf, untilQuiet } from "./quiet.ts";
import { type ChurnResult, runClient, type TransferResult } from "./tunnel-client.ts";

const sequentialDials = 2_000;
const parallelDials = 64;

for (const pairing of reusableCells) {
  describe.runIf(isWanted(pairing))(nameOf(pairing), () => oneTunnel(pairing));
}

/** Each client process has one tunnel, and ends each connection with a reset of its stream on that tunnel. */
function oneTunnel(pairing: Pairing): void {
  let endpoints: GoEndpoints;
  let tunnel: Tunnel;
  let baseline: Baseline;
  const churn = (args: readonly string[]) =>
    runClient<ChurnResult>(tunnel, "churn", [`--target=${endpoints.addresses.echo}`, ...args], pairing.client);

  beforeAll(async () => {
    endpoints = await GoEndpoints.start();
    tunnel = await Tunnel.start(pairing);
    await churn(["--dials=64"]);
    baseline = await baselineOf(tunnel, endpoints);
  });
  afterAll(async () => {
    await tunnel.stop();
    await endpoints.stop();
  });

  test(`carries ${sequentialDials} connections one after the other`, async () => {
    const result = await churn([`--dials=${sequentialDials}`, "--parallel=1"]);
    expect(result).toMatchObject({ echoed: sequentialDials, failed: 0 });
    await untilQuiet(tunnel, endpoints, baseline);
  });

  test(`carries ${parallelDials} at a time`, async () => {
    const result = await churn([`--dials=${sequentialDials}`, `--parallel=${parallelDials}`]);
    expect(result).toMatchObject({ echoed: sequentialDials, failed: 0 });
    await untilQuiet(tunnel, endpoints, baseline);
  });

  test("outlives dials that are cancelled", async () => {
    const result = await churn(["--dials=1000", `--parallel=${parallelDials}`, "--cancel-fraction=0.5"]);
    expect(result.failed).toBe(0);
    expect(result.cancelled).toBeGreaterThan(100);
    expect(result.echoed).toBeGreaterThan(300);
    await untilQuiet(tunnel, endpoints, baseline);
  });

  test("carries bytes both ways on many connections at once", async () => {
    const bytes = 64 * 1024 ** 2;
    const result = await runClient<TransferResult>(
      tunnel,
      "transfer",
      [`--target=${endpoints.addresses.transfer}`, `--bytes=${bytes}`, "--direction=both", "--connections=16"],
      pairing.client,
    );
    expect(result).toMatchObject({ digestsEqual: 16, bytesUp: bytes, bytesDown: bytes });
    await untilQuiet(tunnel, endpoints, baseline);
  });
}
