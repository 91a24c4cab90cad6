import { expect, it } from "vitest";
import { parseServerOptions, type ServerOptions } from "../../../../server/options.ts";
import { workerOptions } from "../../../../server/workers/worker-options.ts";

const file = import.meta.filename;
const base = [`--cluster-cert=${file}`, `--cluster-key=${file}`, `--cluster-ca-cert=${file}`];

function parse(...flags: string[]): ServerOptions {
  const command = parseServerOptions([...base, "--uds-name=/tmp/x.sock", "--server-port=0", ...flags], {});
  if (command.kind !== "run") throw new Error(command.kind);
  return command.options;
}

it("a worker has an id, a count and a lease of its own kind, and leaves the socket's file alone", () => {
  const options = parse(
    "--workers=3",
    "--server-id=s",
    "--server-count=2",
    "--enable-lease-controller",
    "--kubeconfig-qps=6",
  );
  expect(workerOptions(options, 2)).toMatchObject({
    serverId: "s-w2",
    serverCount: 6,
    leases: { serverId: "s-w2" },
    frontends: [{ listen: { path: "/tmp/x.sock", deleteExisting: false } }],
    kubernetes: { qps: 2, burst: 4 },
  });
});

it("a worker has its share of what all may have together, rounded up, and all of what concerns links", () => {
  const flags = ["max-frontend-connections", "max-pending-dials", "max-agent-connections", "max-agent-links"];
  const { limits } = workerOptions(parse("--workers=3", "--max-held-mib=3", ...flags.map((name) => `--${name}=10`)), 1);
  expect(limits).toMatchObject({
    frontendConnectionsMax: 4,
    pendingDialsMax: 4,
    agentConnectionsMax: 4,
    agentLinksMax: 10,
    heldBytesMax: 1024 * 1024,
  });
});

it("an id that is too long or unfit for a lease only with a worker's number is refused", () => {
  const id = "a".repeat(251);
  expect(parse(`--server-id=${id}`).serverId).toBe(id);
  expect(() => parse(`--server-id=${id}`, "--workers=2")).toThrow(
    "--server-id must be printable ASCII of at most 250 bytes",
  );
  const leaseId = "a".repeat(225);
  const leased = ["--enable-lease-controller", `--server-id=${leaseId}`];
  expect(parse(...leased).serverId).toBe(leaseId);
  expect(() => parse(...leased, "--workers=10")).toThrow(`${leaseId}-w10, which must be`);
});
