import { readFileSync } from "node:fs";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type Endpoint, httpEndpoint, refusingAddress } from "../support/endpoints.ts";
import type { ProxyProcess } from "../support/processes.ts";
import { timeOf } from "../support/standstill.ts";
import { Tunnel } from "../support/tunnel.ts";
import { until } from "../support/until.ts";
import { type Cell, isWanted, nameOf } from "./cells.ts";
import { differencesOf } from "./differences.ts";
import { reportFigure } from "./figures.ts";
import { GoEndpoints } from "./go-endpoints.ts";
import { HeldConnections } from "./held-connections.ts";
import { type Baseline, baselineOf, holdingsOf, untilQuiet } from "./quiet.ts";
import {
  type ChurnResult,
  type EchoResult,
  type FirstSpeakerResult,
  type HttpResult,
  runClient,
  type TransferResult,
  tryClient,
} from "./tunnel-client.ts";

/** Puts one cell through every scenario of the interop tests, on a tunnel with one agent and on one with two. */
export function describeCell(cell: Cell): void {
  describe.runIf(isWanted(cell))(nameOf(cell), () => {
    let endpoints: GoEndpoints;
    beforeAll(async () => {
      endpoints = await GoEndpoints.start();
    });
    afterAll(() => endpoints.stop());
    describe("one agent", () => oneAgent(cell, () => endpoints));
    describe("two agents", () => twoAgents(cell, () => endpoints));
  });
}

function oneAgent(cell: Cell, endpoints: () => GoEndpoints): void {
  const { sizes } = cell;
  let tunnel: Tunnel;
  let baseline: Baseline;

  beforeAll(async () => {
    tunnel = await Tunnel.start(cell);
    // A first few connections, so that what is opened once and kept is in the baseline.
    await runClient<ChurnResult>(tunnel, "churn", [`--target=${endpoints().addresses.echo}`, "--dials=64"]);
  });
  afterAll(() => tunnel.stop());
  // For each test anew, so that a leak shows in the test that leaks and in no other.
  beforeEach(async () => {
    baseline = await baselineOf(tunnel, endpoints());
  });

  for (const direction of ["down", "up"]) {
    for (const connections of [1, 16]) {
      test(`${sizes.transferBytes} bytes ${direction} on ${connections} connections arrive unchanged`, async () => {
        const result = await runClient<TransferResult>(tunnel, "transfer", [
          `--target=${endpoints().addresses.transfer}`,
          `--direction=${direction}`,
          `--bytes=${sizes.transferBytes}`,
          `--connections=${connections}`,
        ]);
        expect(result.digestsEqual).toBe(connections);
        expect(direction === "down" ? result.bytesDown : result.bytesUp).toBe(sizes.transferBytes);
        reportFigure(cell, `${direction} on ${connections}`, `${result.megabytesPerSecond.toFixed(0)} MB/s`);
        await untilQuiet(tunnel, endpoints(), baseline);
      });
    }
  }

  test("bytes move up and down at once on 16 connections", async () => {
    const bytes = sizes.transferBytes / 4;
    const result = await runClient<TransferResult>(tunnel, "transfer", [
      `--target=${endpoints().addresses.transfer}`,
      "--direction=both",
      `--bytes=${bytes}`,
      "--connections=16",
    ]);
    expect(result).toMatchObject({ digestsEqual: 16, bytesDown: bytes, bytesUp: bytes });
    reportFigure(cell, "both ways on 16, sum", `${result.megabytesPerSecond.toFixed(0)} MB/s`);
  });

  test(`${sizes.heldConnections} connections are open at once and all answer`, async () => {
    const held = await HeldConnections.open(tunnel, endpoints().addresses.echo, sizes.heldConnections);
    try {
      // Either half may tell its peer of a connection before it counts it.
      await until(
        "both halves count every connection",
        async () => {
          const { established, endpointConnections } = await holdingsOf(tunnel, endpoints());
          return established === sizes.heldConnections && endpointConnections === sizes.heldConnections;
        },
        { withinMs: 5_000, describe: () => tunnel.describe() },
      );
      expect(await held.echo()).toEqual({ answered: sizes.heldConnections, failed: 0, ended: 0 });
      await held.close();
    } finally {
      await held.stop();
    }
    await untilQuiet(tunnel, endpoints(), baseline);
  });

  test(`${sizes.dials} dials, a third of them cancelled at random moments, leave nothing behind`, async () => {
    const result = await runClient<ChurnResult>(tunnel, "churn", [
      `--target=${endpoints().addresses.echo}`,
      `--dials=${sizes.dials}`,
      "--parallel=64",
      "--cancel-fraction=0.33",
    ]);
    expect(result.failed).toBe(0);
    expect(result.echoed + result.cancelled + result.tooLate).toBe(sizes.dials);
    // A machine that stands still now and then makes cancellations come too late.
    expect(result.cancelled).toBeGreaterThan(0);
    expect(result.cancelled + result.tooLate).toBeGreaterThan(sizes.dials / 10);
    await untilQuiet(tunnel, endpoints(), baseline);
  });

  test("dial, echo and close: the rate", async () => {
    const result = await runClient<ChurnResult>(tunnel, "churn", [
      `--target=${endpoints().addresses.echo}`,
      `--dials=${sizes.dials}`,
      "--parallel=32",
    ]);
    expect(result.echoed).toBe(sizes.dials);
    reportFigure(cell, "dial, echo, close, 32 at once", `${result.perSecond.toFixed(0)} /s`);
    await untilQuiet(tunnel, endpoints(), baseline);
  });

  test.each([1, 64])("200-byte echoes on %i connections", async (parallel) => {
    const result = await runClient<EchoResult>(tunnel, "echo", [
      `--target=${endpoints().addresses.echo}`,
      `--parallel=${parallel}`,
      `--requests=${Math.ceil(4_000 / parallel)}`,
    ]);
    const { perSecond, p50Micros, p99Micros } = result;
    expect(result.requests).toBeGreaterThanOrEqual(4_000);
    reportFigure(
      cell,
      `echo of 200 B on ${parallel}`,
      `${perSecond.toFixed(0)} /s, p50 ${p50Micros} µs, p99 ${p99Micros} µs`,
    );
  });

  const { losesBanners } = differencesOf(cell);
  const bannerTitle = losesBanners === undefined ? "lose no byte" : `lose all or nothing, since ${losesBanners}`;
  test(`${sizes.banners} endpoints that speak first ${bannerTitle}`, async () => {
    const { result, error = "" } = await tryClient<FirstSpeakerResult>(tunnel, "first-speaker", [
      `--target=${endpoints().addresses.banner}`,
      `--connections=${sizes.banners}`,
    ]);
    reportFigure(cell, "banners lost", `${result?.lost} of ${sizes.banners}`);
    if (losesBanners === undefined) {
      expect(result, error).toEqual({ connections: sizes.banners, complete: sizes.banners, lost: 0 });
    } else {
      for (const line of error.split("\n")) expect(line).toMatch(/^$|: 0 of 64 banner bytes: EOF$/);
      // How many is a matter of luck, and of this machine's load: three quarters of them were seen lost.
      expect((result?.complete ?? 0) + (result?.lost ?? 0)).toBe(sizes.banners);
    }
    await untilQuiet(tunnel, endpoints(), baseline);
  });

  describe("an HTTPS endpoint with a certificate of its own CA", () => {
    let https: Endpoint;
    beforeAll(async () => {
      const { cert, key } = tunnel.workspace.certificates.endpoint;
      https = await httpEndpoint({ tls: { cert: readFileSync(cert, "utf8"), key: readFileSync(key, "utf8") } });
    });
    afterAll(() => https.close());

    test("is verified end to end", async () => {
      const result = await runClient<HttpResult>(tunnel, "http", [
        `--url=https://${https.address}/pods`,
        `--endpoint-ca=${tunnel.workspace.certificates.endpointCa}`,
      ]);
      expect(result).toMatchObject({ status: 200, bytes: "GET /pods".length });
    });

    test("is not trusted through another CA", async () => {
      const { ok, error } = await tryClient<HttpResult>(tunnel, "http", [
        `--url=https://${https.address}/`,
        `--endpoint-ca=${tunnel.workspace.certificates.agentCa}`,
      ]);
      expect(ok).toBe(false);
      expect(error).toContain("certificate signed by unknown authority");
    });
  });

  test("a refused dial says so", async () => {
    const { ok, error } = await tryClient<HttpResult>(tunnel, "http", [`--url=http://${await refusingAddress()}/`]);
    expect(ok).toBe(false);
    expect(error).toContain("connection refused");
    await untilQuiet(tunnel, endpoints(), baseline);
  });
}

function twoAgents(cell: Cell, endpoints: () => GoEndpoints): void {
  const count = 64;

  test("SIGKILL of one ends its connections within 1 s and no others; it comes back and is used", async () => {
    const tunnel = await Tunnel.start({ ...cell, agentCount: 2 });
    const opened: HeldConnections[] = [];
    const hold = async () => {
      const held = await HeldConnections.open(tunnel, endpoints().addresses.echo, count);
      opened.push(held);
      return held;
    };
    try {
      const held = await hold();
      const [victim, survivor] = tunnel.agents;
      if (victim === undefined || survivor === undefined) throw new Error("two agents were to start");
      const openOn = (agent: ProxyProcess) => agent.metric("open_endpoint_connections");
      await until(
        `two agents hold ${count} connections`,
        async () => (await openOn(victim)) + (await openOn(survivor)) === count,
        { withinMs: 5_000, describe: () => tunnel.describe() },
      );
      const lost = await openOn(victim);
      expect(lost).toBeGreaterThan(0);
      expect(lost).toBeLessThan(count);

      tunnel.killAgent(victim);
      const ended = until(`${lost} connections end`, () => held.endedCount >= lost, {
        withinMs: 20_000,
        describe: () => `${held.endedCount} have ended\n${tunnel.describe()}`,
      });
      const endedAfterMs = await timeOf(ended);
      reportFigure(cell, "connections of a killed agent end after", `${endedAfterMs.toFixed(0)} ms`);
      // What a reference server takes for it is its own.
      if (cell.server === "hawser") expect(endedAfterMs).toBeLessThan(1_000);
      expect(await held.echo()).toEqual({ answered: count - lost, failed: 0, ended: lost });

      await tunnel.serverCounts(1);
      const back = await tunnel.addAgent("agent-0");
      const after = await hold();
      expect(await after.echo()).toEqual({ answered: count, failed: 0, ended: 0 });
      expect(await openOn(back)).toBeGreaterThan(0);
      await after.close();
      await held.close();
      await untilQuiet(tunnel, endpoints());
    } finally {
      await Promise.all(opened.map((held) => held.stop()));
      await tunnel.stop();
    }
  });
}
