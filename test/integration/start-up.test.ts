import { once } from "node:events";
import { chmodSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer, type Server } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { issueCa, issueCertificate } from "../../shared/tls/issue.ts";
import { ManagedProcess } from "../support/managed-process.ts";
import { freePort } from "../support/ports.ts";
import { repositoryRoot } from "../support/repository-root.ts";
import { within } from "../support/within.ts";
import { Workspace } from "../support/workspace.ts";

type Half = "server" | "agent";

let workspace: Workspace;
let taken: Server;
let takenPort: number;
beforeAll(async () => {
  workspace = new Workspace();
  taken = createServer().listen(0, "127.0.0.1");
  await once(taken, "listening");
  ({ port: takenPort } = taken.address() as AddressInfo);
});
afterAll(() => {
  taken.close();
  workspace.remove();
});

const host = "127.0.0.1";

async function flagsOf(half: Half): Promise<string[]> {
  const { certificates } = workspace;
  if (half === "agent") {
    return [
      `--proxy-server-host=${host}`,
      `--proxy-server-port=${await freePort()}`,
      `--ca-cert=${certificates.agentCa}`,
      `--agent-cert=${certificates.agent.cert}`,
      `--agent-key=${certificates.agent.key}`,
      `--health-server-host=${host}`,
      `--health-server-port=${await freePort()}`,
      `--admin-server-port=${await freePort()}`,
    ];
  }
  return [
    `--server-bind-address=${host}`,
    `--server-port=${await freePort()}`,
    `--server-ca-cert=${certificates.frontendCa}`,
    `--server-cert=${certificates.server.cert}`,
    `--server-key=${certificates.server.key}`,
    `--agent-bind-address=${host}`,
    `--agent-port=${await freePort()}`,
    `--cluster-ca-cert=${certificates.agentCa}`,
    `--cluster-cert=${certificates.cluster.cert}`,
    `--cluster-key=${certificates.cluster.key}`,
    `--health-bind-address=${host}`,
    `--health-port=${await freePort()}`,
    `--admin-port=${await freePort()}`,
  ];
}

async function run(half: Half, args: readonly string[]) {
  const file = join(repositoryRoot, "dist", half, "bin.js");
  const child = new ManagedProcess(half, { file: process.execPath, args: [file, ...args] });
  let stdout = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
  });
  try {
    const { code } = await within(15_000, `the exit of ${half} ${args.join(" ")}`, child.exited);
    return { code, stdout, stderr: child.stderr };
  } finally {
    await child.stop();
  }
}

/** Runs with flags that serve, but for these; it has to exit with 1 and say why in one line, which has all of `words`. */
async function expectRefusal(half: Half, flags: readonly string[], words: readonly string[]): Promise<void> {
  const { code, stderr } = await run(half, [...(await flagsOf(half)), ...flags]);
  const sentences = stderr.filter((line) => !line.startsWith("{"));
  expect(sentences).toHaveLength(1);
  expect(stderr.at(-1)).toBe(sentences[0]);
  expect(sentences[0]).toMatch(new RegExp(`^proxy-${half}: `));
  for (const word of words) expect(sentences[0]).toContain(word);
  expect(code).toBe(1);
}

function save(name: string, content: string): string {
  const path = workspace.path(name);
  writeFileSync(path, content);
  return path;
}

describe("a port in use", () => {
  test.each(["server-port", "agent-port", "health-port", "admin-port"])("--%s of the server", async (flag) => {
    await expectRefusal("server", [`--${flag}=${takenPort}`], [`--${flag}: `, `127.0.0.1:${takenPort}`, "in use"]);
  });

  test.each(["health-server-port", "admin-server-port"])("--%s of the agent", async (flag) => {
    await expectRefusal("agent", [`--${flag}=${takenPort}`], [`--${flag}: `, `127.0.0.1:${takenPort}`, "in use"]);
  });

  test("a path of --uds-name that is no socket is left alone", async () => {
    const path = save("not-a-socket", "precious");
    await expectRefusal(
      "server",
      [`--uds-name=${path}`, "--server-port=0", ...withoutServerTls],
      [path, "not a socket"],
    );
  });

  test("a folder of --uds-name that is not there", async () => {
    const path = workspace.path("nowhere/s.sock");
    await expectRefusal(
      "server",
      [`--uds-name=${path}`, "--server-port=0", ...withoutServerTls],
      [path, "does not exist"],
    );
  });
});

const withoutServerTls = ["--server-ca-cert=", "--server-cert=", "--server-key="];

interface PairFlags {
  readonly half: Half;
  readonly cert: string;
  readonly key: string;
}

const pairs: readonly PairFlags[] = [
  { half: "server", cert: "server-cert", key: "server-key" },
  { half: "server", cert: "cluster-cert", key: "cluster-key" },
  { half: "agent", cert: "agent-cert", key: "agent-key" },
];

describe.each(pairs)("--$cert and --$key", ({ half, cert, key }) => {
  test("a key that is not there", async () => {
    const path = workspace.path("missing.key");
    await expectRefusal(half, [`--${key}=${path}`], [path]);
  });

  // Root reads everything.
  test.skipIf(process.getuid?.() === 0)("a key that may not be read", async () => {
    const path = save(`${key}-unreadable.key`, "secret");
    chmodSync(path, 0o000);
    await expectRefusal(half, [`--${key}=${path}`], [path, "permission"]);
  });

  test("a key that is no key", async () => {
    const path = save(`${key}-garbage.key`, "not a key\n");
    await expectRefusal(half, [`--${key}=${path}`], [path]);
  });

  test("a key of another certificate", async () => {
    const other = workspace.certificates.endpoint.key;
    await expectRefusal(half, [`--${key}=${other}`], [other]);
  });

  test("a certificate that has expired", async () => {
    const long = { commonName: "old", validityDays: 1, now: new Date("2020-01-01T00:00:00Z") };
    const pair = issueCertificate(issueCa(long), { ...long, usages: ["server", "client"], names: ["localhost"] });
    const files = [save(`${cert}-old.crt`, pair.cert), save(`${cert}-old.key`, pair.key)] as const;
    await expectRefusal(half, [`--${cert}=${files[0]}`, `--${key}=${files[1]}`], [files[0], "expired"]);
  });
});

describe.each([
  { half: "server", flag: "server-ca-cert" },
  { half: "server", flag: "cluster-ca-cert" },
  { half: "agent", flag: "ca-cert" },
] as const)("--$flag", ({ half, flag }) => {
  test("a bundle that is not there", async () => {
    const path = workspace.path("missing-ca.crt");
    await expectRefusal(half, [`--${flag}=${path}`], [path]);
  });

  test("a bundle without a certificate", async () => {
    const path = save(`${flag}-empty.crt`, "nothing here\n");
    await expectRefusal(half, [`--${flag}=${path}`], [path]);
  });
});

describe("with two workers what is wrong is said once", () => {
  test.each(["server-port", "agent-port", "health-port", "admin-port"])("a port in use: --%s", async (flag) => {
    await expectRefusal(
      "server",
      ["--workers=2", `--${flag}=${takenPort}`],
      [`--${flag}: `, `127.0.0.1:${takenPort}`, "in use"],
    );
  });

  test("a path of --uds-name that is no socket is left alone", async () => {
    const path = save("no-socket-for-workers", "precious");
    const flags = ["--workers=2", `--uds-name=${path}`, "--server-port=0", ...withoutServerTls];
    await expectRefusal("server", flags, [path, "not a socket"]);
  });

  test("a key that is no key", async () => {
    const path = save("workers-garbage.key", "not a key\n");
    await expectRefusal("server", ["--workers=2", `--cluster-key=${path}`], [path]);
  });
});

test.each(["0", "-1", "65", "1.5", "two"])("--workers=%s", async (workers) => {
  await expectRefusal("server", [`--workers=${workers}`], ["--workers", workers]);
});

test("no CA for agents: refused without --allow-unauthenticated-agents", async () => {
  await expectRefusal("server", ["--cluster-ca-cert="], ["--allow-unauthenticated-agents"]);
});

test.each(["server", "agent"] as const)("an unknown flag of the %s names the nearest one", async (half) => {
  await expectRefusal(half, ["--agent-idd=x"], ["--agent-idd", half === "agent" ? "--agent-id" : "--agent-"]);
});

test.each(["server", "agent"] as const)("--version and --help of the %s", async (half) => {
  const version = await run(half, ["--version"]);
  expect(version).toMatchObject({ code: 0, stderr: [] });
  expect(version.stdout).toMatch(new RegExp(`^proxy-${half} \\d+\\.\\d+\\.\\d+`));
  const help = await run(half, ["--help"]);
  expect(help).toMatchObject({ code: 0, stderr: [] });
  expect(help.stdout).toContain("--health-");
});
