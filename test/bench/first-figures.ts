import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { cpus, release } from "node:os";
import { join } from "node:path";
import { GoEndpoints } from "../interop/go-endpoints.ts";
import {
  type ChurnResult,
  type EchoResult,
  frontendArgs,
  type Outcome,
  type TransferResult,
  TunnelClient,
} from "../interop/tunnel-client.ts";
import type { FrontendKind, Implementation } from "../support/processes.ts";
import { repositoryRoot } from "../support/repository-root.ts";
import { Tunnel } from "../support/tunnel.ts";

/**
 * Measures a first table: direct connections, Hawser and the reference, round by round in turn on the same machine, and writes
 * docs/performance.md. Needs Go. Run by `npm run figures`, on a machine that does nothing else; `-- 3` for another number of rounds.
 */

const rounds = Number(process.argv[2] ?? 5);
const transferBytes = 256 * 1024 ** 2;

interface Way {
  readonly name: string;
  readonly tunnel?: { readonly both: Implementation; readonly frontend: FrontendKind };
}

const grpc: FrontendKind = { protocol: "grpc", transport: "uds" };
const connect: FrontendKind = { protocol: "connect", transport: "uds" };
const ways: readonly Way[] = [
  { name: "direct" },
  { name: "Hawser, gRPC", tunnel: { both: "hawser", frontend: grpc } },
  { name: "reference, gRPC", tunnel: { both: "reference-v0.36.0", frontend: grpc } },
  { name: "Hawser, CONNECT", tunnel: { both: "hawser", frontend: connect } },
  { name: "reference, CONNECT", tunnel: { both: "reference-v0.36.0", frontend: connect } },
];

interface Scenario {
  readonly name: string;
  readonly measure: (run: Run, endpoints: GoEndpoints["addresses"]) => Promise<number>;
}
type Run = <T>(command: string, args: readonly string[]) => Promise<T>;

const transfer = (direction: "down" | "up", connections: number): Scenario => ({
  name: `${direction} on ${connections}, MB/s`,
  measure: async (run, { transfer: target }) => {
    const sizes = [`--direction=${direction}`, `--bytes=${transferBytes}`, `--connections=${connections}`];
    return (await run<TransferResult>("transfer", [`--target=${target}`, ...sizes])).megabytesPerSecond;
  },
});
const echo = (connections: number): Scenario => ({
  name: `200 B echo on ${connections}, /s`,
  measure: async (run, { echo: target }) =>
    (await run<EchoResult>("echo", [`--target=${target}`, `--parallel=${connections}`])).perSecond,
});
const dials = (parallel: number): Scenario => ({
  name: `dial + echo + close, ${parallel} at once, /s`,
  measure: async (run, { echo: target }) => {
    const sizes = [`--dials=${2_000 * Math.min(parallel, 2)}`, `--parallel=${parallel}`, "--cancel-fraction=0"];
    return (await run<ChurnResult>("churn", [`--target=${target}`, ...sizes])).perSecond;
  },
});
const scenarios = [
  transfer("down", 1),
  transfer("down", 16),
  transfer("up", 1),
  transfer("up", 16),
  echo(1),
  echo(64),
  dials(1),
  dials(32),
];

async function runClient<T>(where: readonly string[], command: string, args: readonly string[]): Promise<T> {
  const client = await TunnelClient.start(command, [...where, ...args]);
  const { ok, result, error } = (await client.outcome()) as Outcome<T>;
  if (!ok || result === undefined) throw new Error(`${command}: ${error}`);
  return result;
}

const median = (values: readonly number[]) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
const three = (value: number) => String(Number(value.toPrecision(3)));
const spread = (values: readonly number[]) =>
  `${three(median(values))} (${three(Math.min(...values))} to ${three(Math.max(...values))})`;

async function main(): Promise<void> {
  const endpoints = await GoEndpoints.start();
  const tunnels = new Map<Way, Tunnel>();
  for (const way of ways) {
    if (way.tunnel === undefined) continue;
    const { both, frontend } = way.tunnel;
    tunnels.set(way, await Tunnel.start({ server: both, agent: both, frontend }));
  }
  const figures = new Map<string, number[]>();
  for (let round = 1; round <= rounds; round++) {
    for (const scenario of scenarios) {
      for (const way of ways) {
        const tunnel = tunnels.get(way);
        const where = tunnel === undefined ? ["--proto=direct"] : frontendArgs(tunnel);
        const value = await scenario.measure((command, args) => runClient(where, command, args), endpoints.addresses);
        const key = `${scenario.name} ${way.name}`;
        figures.set(key, [...(figures.get(key) ?? []), value]);
        process.stdout.write(`round ${round} of ${rounds}: ${scenario.name}, ${way.name}: ${three(value)}\n`);
      }
    }
  }
  for (const tunnel of tunnels.values()) await tunnel.stop();
  await endpoints.stop();
  const of = (scenario: Scenario, way: Way | undefined) => figures.get(`${scenario.name} ${way?.name}`) ?? [];
  const ratio = (scenario: Scenario, protocol: string) => {
    const [ours, theirs] = ["Hawser", "reference"].map((name) =>
      median(
        of(
          scenario,
          ways.find((way) => way.name === `${name}, ${protocol}`),
        ),
      ),
    );
    return ((ours ?? 0) / (theirs ?? 1)).toFixed(2);
  };
  const rows = scenarios.map((scenario) => [
    scenario.name,
    ...ways.map((way) => spread(of(scenario, way))),
    ratio(scenario, "gRPC"),
    ratio(scenario, "CONNECT"),
  ]);
  const head = ["scenario", ...ways.map(({ name }) => name), "ratio, gRPC", "ratio, CONNECT"];
  writeFileSync(join(repositoryRoot, "docs", "performance.md"), page([head, head.map(() => "---"), ...rows]));
}

function page(table: readonly (readonly string[])[]): string {
  const commit = execFileSync("git", ["rev-parse", "--short", "HEAD"], {
    cwd: repositoryRoot,
    encoding: "utf8",
  }).trim();
  const machine = `${cpus().length} cores (${cpus()[0]?.model.trim()}), Linux ${release()}, Node ${process.version}`;
  return `# Performance: a first table

Written by \`npm run figures\` at commit ${commit} on ${new Date().toISOString().slice(0, 10)}: ${machine}. Client and endpoint are Go programs on the same
machine, the client with the reference's own library (v0.36.0); frontends listen on Unix sockets, server and agent speak mTLS on loopback.
The reference is v0.36.0. Each figure is the median of ${rounds} rounds, in which all ways were measured in turn, with the smallest and the largest behind it. On so few
cores client, endpoint, server and agent share them all: read the ratios (Hawser to reference, same frontend), not the absolutes.

${table.map((row) => `| ${row.join(" | ")} |`).join("\n")}
`;
}

await main();
