import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { refusingAddress } from "../support/endpoints.ts";
import type { Implementation } from "../support/processes.ts";
import { Tunnel } from "../support/tunnel.ts";
import { GoEndpoints } from "./go-endpoints.ts";
import { familiesOf, type MetricFamily } from "./metric-families.ts";
import { type ChurnResult, type DialResult, runClient, type TransferResult, tryClient } from "./tunnel-client.ts";

type Families = ReadonlyMap<string, MetricFamily>;
type Half = "server" | "agent";
const halves: readonly Half[] = ["server", "agent"];

/** What a Go process tells about itself. */
const missing = [/^go_/, /^promhttp_/];
/** What Hawser, or its process, tells besides. */
const added = [
  /^hawser_/,
  /^nodejs_/,
  /^process_(cpu_(user|system)_seconds_total|heap_bytes)$/,
  // The reference's too, but newer than v0.36.0.
  /^konnectivity_network_proxy_server_connection_duration_seconds$/,
];
/** There or not, as it happens that a stream breaks while something is sent on it. */
const byChance = /_agent_stream_errors_total$/;

describe("after the same work, Hawser and the reference v0.36.0", () => {
  let endpoints: GoEndpoints;
  let theirs: Readonly<Record<Half, Families>>;
  let ours: Readonly<Record<Half, Families>>;

  beforeAll(async () => {
    endpoints = await GoEndpoints.start();
    theirs = await scrapesAfterWork("reference-v0.36.0", endpoints);
    ours = await scrapesAfterWork("hawser", endpoints);
  });
  afterAll(() => endpoints.stop());

  describe.each(halves)("as %s", (half) => {
    const isListed = (name: string, list: readonly RegExp[]) => [...list, byChance].some((entry) => entry.test(name));
    const common = () => [...theirs[half].keys()].filter((name) => ours[half].has(name) && !byChance.test(name));

    test("show the same families, but for those that are listed", () => {
      const onlyTheirs = [...theirs[half].keys()].filter((name) => !ours[half].has(name));
      const onlyOurs = [...ours[half].keys()].filter((name) => !theirs[half].has(name));
      report(half, "missing", onlyTheirs);
      report(half, "added", onlyOurs);
      expect(onlyTheirs.filter((name) => !isListed(name, missing))).toEqual([]);
      expect(onlyOurs.filter((name) => !isListed(name, added))).toEqual([]);
      expect(common().filter((name) => name.startsWith("konnectivity_")).length).toBeGreaterThan(5);
    });

    test("give them the same types, labels and buckets", () => {
      const shapes = (families: Families) =>
        common().map((name) => ({ name, ...families.get(name), help: undefined }) as object);
      expect(shapes(ours[half])).toEqual(shapes(theirs[half]));
    });

    test("describe them in the same words", () => {
      const helps = (families: Families) => common().map((name) => [name, families.get(name)?.help]);
      expect(helps(ours[half])).toEqual(helps(theirs[half]));
    });
  });
});

/** Scrapes both halves of a tunnel that has carried, refused and lost connections. */
async function scrapesAfterWork(
  implementation: Implementation,
  endpoints: GoEndpoints,
): Promise<Record<Half, Families>> {
  const frontend = { protocol: "grpc", transport: "uds" } as const;
  const tunnel = await Tunnel.start({ server: implementation, agent: implementation, frontend });
  try {
    const { echo, transfer } = endpoints.addresses;
    await runClient<ChurnResult>(tunnel, "churn", [`--target=${echo}`, "--dials=300", "--cancel-fraction=0.5"]);
    const sizes = ["--bytes=16777216", "--direction=both", "--connections=4"];
    await runClient<TransferResult>(tunnel, "transfer", [`--target=${transfer}`, ...sizes]);
    await tryClient<DialResult>(tunnel, "dial", [`--target=${await refusingAddress()}`]);
    const [server, agent] = await Promise.all(
      [tunnel.server, ...tunnel.agents].map(async (half) => familiesOf((await half.get("/metrics")).body)),
    );
    if (server === undefined || agent === undefined) throw new Error("two halves were to be scraped");
    return { server, agent };
  } finally {
    await tunnel.stop();
  }
}

function report(half: Half, what: string, names: readonly string[]): void {
  process.stdout.write(`metrics | ${half} | ${what} | ${names.length === 0 ? "none" : names.join(" ")}\n`);
}
