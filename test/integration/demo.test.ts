import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { runDemo } from "../../cli/demo/demo.ts";
import { greeting } from "../../cli/demo/kubelet-server.ts";
import { Screen } from "../../cli/demo/screen.ts";
import { systemClock } from "../../shared/clock.ts";
import { ManagedProcess } from "../support/managed-process.ts";
import { repositoryRoot } from "../support/repository-root.ts";
import { until } from "../support/until.ts";

const run = promisify(execFile);
const built = (path: string) => join(repositoryRoot, "dist", path);
/** Many times what it takes: it makes keys, starts four processes one after the other, and may have little of a machine for that. */
const demoWithinMs = 150_000;

let folder: string;
let temporary: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "hw-"));
  temporary = join(folder, "t");
  mkdirSync(temporary);
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** `hawser demo` as people start it, with a temporary folder of its own that is to be empty in the end. */
class Demo {
  readonly process: ManagedProcess;
  output = "";

  constructor(...args: readonly string[]) {
    const command = { file: process.execPath, args: [built("cli/bin.js"), "demo", "--size=2", ...args] };
    this.process = new ManagedProcess("hawser demo", { ...command, env: { TMPDIR: temporary } });
    this.process.stdout.setEncoding("utf8").on("data", (text: string) => {
      this.output += text;
    });
  }

  /** Resolves to the first match once it has been printed. */
  async prints(pattern: RegExp): Promise<RegExpExecArray> {
    const options = { withinMs: demoWithinMs, signal: this.process.gone, describe: () => this.process.describe() };
    try {
      return await until(`${pattern}`, () => pattern.exec(this.output) ?? undefined, options);
    } catch (cause) {
      // What went wrong is told there.
      throw new Error(`${(cause as Error).message}\n${this.output}`, { cause });
    }
  }

  get childPids(): readonly number[] {
    return [...this.output.matchAll(/ pid (\d+)$/gm)].map(([, pid]) => Number(pid));
  }
}

const demos: Demo[] = [];
function startDemo(...args: readonly string[]): Demo {
  const demo = new Demo(...args);
  demos.push(demo);
  return demo;
}
afterEach(async () => {
  await Promise.all(demos.splice(0).map((demo) => demo.process.stop()));
});

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

function expectNothingLeft(demo: Demo, processCount: number): void {
  expect(demo.childPids).toHaveLength(processCount);
  expect(demo.childPids.filter(isRunning)).toEqual([]);
  expect(readdirSync(temporary)).toEqual([]);
}

describe("hawser demo", { timeout: 180_000 }, () => {
  test("tells its story to the end, exits with 0 and leaves nothing", async () => {
    const demo = startDemo();
    const { code } = await demo.process.exited;
    expect(demo.output + demo.process.describe()).toMatch(/^Everything came out right, in \S+ s\.$/m);
    expect(code).toBe(0);
    expect(demo.process.stderr).toEqual([]);
    const labels = [...demo.output.matchAll(/^ {2}ok {4}(.{20})/gm)].map(([, label = ""]) => label.trim());
    expect(labels).toEqual([
      ...["kubelet", "proxy server", "agent-1", "agent-2"],
      ...["by gRPC", "by HTTP CONNECT", "with the wrong CA"],
      ...["gRPC, down", "gRPC, up", "HTTP CONNECT, down", "HTTP CONNECT, up"],
      ...["open together", "who carried them"],
      ...["by gRPC", "by HTTP CONNECT"],
      ...["downloads run", "agent-1 killed", "agent-2 goes on", "agent-1 comes back"],
      ...["proxy server", "agent-1", "agent-2"],
    ]);
    const tooLong = demo.output.split("\n").filter((line) => line.length > 80 && !line.includes(temporary));
    expect(tooLong).toEqual([]);
    expect(demo.output).not.toContain("\u001b");
    expectNothingLeft(demo, 4);
  });

  test("--stay prints a line that curl understands, and ends well by SIGINT", async () => {
    const demo = startDemo("--stay");
    const [, line = ""] = await demo.prints(/^ {2}(curl --proxytunnel(?:.*\\\n)+.*)\n/m);
    const [, metrics = ""] = await demo.prints(/^ {2}curl (\S+) +# proxy server$/m);
    expect((await fetch(metrics)).status).toBe(200);
    if (await hasCurl()) expect((await run("sh", ["-c", `${line} -sS -m 20`])).stdout).toBe(greeting);
    demo.process.kill("SIGINT");
    expect(await demo.process.exited).toEqual({ code: 0, signal: null });
    expectNothingLeft(demo, 4);
  });

  test.each(["SIGINT", "SIGTERM", "SIGHUP"] as const)("%s in the middle stops everything, exit 1", async (signal) => {
    const demo = startDemo();
    await demo.prints(/ok {4}gRPC, down/);
    demo.process.kill(signal);
    expect(await demo.process.exited).toEqual({ code: 1, signal: null });
    expect(demo.output).toMatch(/^Interrupted\./m);
    expect(demo.output).not.toContain("FAIL");
    expectNothingLeft(demo, 4);
  });

  test.each([
    ["--size=0", "--size must be a whole number of MiB from 1 to 65536"],
    ["--sise=1", "Unknown argument: sise; --help lists the options"],
  ])("%s is refused in one line", async (flag, sentence) => {
    const demo = startDemo(flag);
    expect((await demo.process.exited).code).toBe(1);
    expect(demo.process.stderr).toEqual([`hawser demo: ${sentence}`]);
  });
});

test("an agent that does not start is named, with its last words, and the demo fails", {
  timeout: demoWithinMs,
}, async () => {
  const agent = join(folder, "agent.cjs");
  writeFileSync(agent, 'process.stderr.write("the disk is full\\n"); process.exitCode = 3;\n');
  let output = "";
  const screen = new Screen(
    {
      write: (text) => {
        output += text;
      },
    },
    {},
    () => systemClock.now(),
  );
  const programs = { server: built("server/bin.js"), agent, kubelet: built("cli/demo/kubelet-main.js") };
  const deps = { clock: systemClock, screen, programs, signal: new AbortController().signal };
  expect(await runDemo(deps, { sizeBytes: 1024, stay: false })).toBe(1);
  expect(output).toContain(
    "  FAIL  agent-1\n        expected  an agent that is linked to the server\n        came      agent-1 ended with status 3\n",
  );
  expect(output).toContain("Last log lines of agent-1\n  the disk is full\n");
  expect(output).toMatch(/The demo failed at "agent-1"\.\n$/);
});

const hasCurl = (): Promise<boolean> =>
  run("curl", ["--version"]).then(
    () => true,
    () => false,
  );
