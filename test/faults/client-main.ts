import { readFileSync } from "node:fs";
import type { Duplex } from "node:stream";
import { dialFrontend, type FrontendProtocol } from "../../cli/client/dial.ts";
import type { FrontendAddress } from "../../cli/client/frontend-address.ts";
import { systemClock } from "../../shared/clock.ts";
import { silentLog } from "../../shared/log.ts";

/**
 * A client process for tests to kill. Opens connections through a frontend, its first argument, a `FrontendAddress` in JSON with files for PEM texts; each further
 * argument is `protocol,address,behaviour,count`. Writes `open` to standard output when all stand, and lives until it is killed.
 * `idle` connections say nothing after a first echo; `stalled` ones write without end, with a line for each step, and never read; `writing` ones do read;
 * `graded` ones write so many times 256 KiB each, from none up, and read.
 */
const [address = "", ...plans] = process.argv.slice(2);
const frontend = withTexts(JSON.parse(address) as FrontendAddress);
const deps = { log: silentLog, clock: systemClock };
const { signal } = new AbortController();

function withTexts(address: FrontendAddress): FrontendAddress {
  if (address.kind === "uds") return address;
  const read = (file: string) => readFileSync(file, "utf8");
  const { ca, cert, key } = address.tls;
  return { ...address, tls: { ca: read(ca), cert: read(cert), key: read(key) } };
}

async function open(plan: string): Promise<void> {
  const [protocol, target = "", behaviour, count] = plan.split(",");
  const options = {
    protocol: protocol as FrontendProtocol,
    frontend,
    target,
    timeoutMs: 15_000,
  } as const;
  const dials = Array.from({ length: Number(count) }, () => dialFrontend(deps, options, { signal }));
  await Promise.all((await Promise.all(dials)).map((duplex, index) => behaviours[behaviour ?? ""]?.(duplex, index)));
}

function echoOnce(duplex: Duplex): Promise<void> {
  return new Promise((resolve, reject) => {
    duplex.once("data", () => resolve()).once("error", reject);
    duplex.write("hello");
  });
}

async function write(duplex: Duplex): Promise<void> {
  const fill = () => {
    while (duplex.write(Buffer.alloc(64 * 1024)));
    process.stdout.write("moves\n");
  };
  duplex.on("drain", fill);
  fill();
}

async function writeSome(duplex: Duplex, chunkCount: number): Promise<void> {
  let left = chunkCount;
  const next = () => {
    process.stdout.write("moves\n");
    if (left-- > 0) duplex.write(Buffer.alloc(64 * 1024), next);
  };
  duplex.resume();
  next();
}

const behaviours: Readonly<Record<string, (duplex: Duplex, index: number) => Promise<void>>> = {
  idle: echoOnce,
  graded: (duplex, index) => writeSome(duplex, index * 4),
  stalled: write,
  writing: (duplex) => write(duplex.resume()),
};

await Promise.all(plans.map(open));
process.stdout.write("open\n");
