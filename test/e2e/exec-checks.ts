import { createInterface } from "node:readline";
import { describe, expect } from "vitest";
import { ManagedProcess } from "../support/managed-process.ts";
import { digestOfSeeded, seededBytes } from "../support/seeded-bytes.ts";
import { within } from "../support/within.ts";
import type { Check } from "./check.ts";
import type { Cluster } from "./cluster.ts";
import { digestOf, runToEnd, type Wire } from "./kubectl.ts";
import { nodeSites } from "./network.ts";
import { podName } from "./pods.ts";

const bulkBytes = 50_000_000;
const seed = 7;
const sites = Object.values(nodeSites);

/** How kubectl is told what to speak with kube-apiserver, which speaks SPDY with kubelet in either case. */
export const remoteCommandWires: readonly Wire[] = [
  ["WebSocket", { KUBECTL_REMOTE_COMMAND_WEBSOCKETS: "true" }],
  ["SPDY", { KUBECTL_REMOTE_COMMAND_WEBSOCKETS: "false" }],
];

/** `wires` are those over which the first four are made. */
export function execChecks(check: Check, cluster: () => Cluster, wires = remoteCommandWires): void {
  const inShell = (pod: string, ...command: readonly string[]) => ["exec", pod, "--container=shell", "--", ...command];
  const fed = (args: readonly string[]) => ["exec", "--stdin", ...args.slice(1)];
  const pod = podName(nodeSites.a);

  describe.each(wires)("over %s", (_wire, env) => {
    check("exec: output, errors and the exit code", async () => {
      const { kubectl } = cluster();
      for (const site of sites) {
        const args = inShell(podName(site), "sh", "-c", "echo out; echo err >&2; exit 7");
        const { code, stdout, stderr } = await kubectl.run(args, { env });
        expect({ code, stdout: stdout.toString(), stderr }).toEqual({
          code: 7,
          stdout: "out\n",
          stderr: expect.stringMatching(/^err$/m),
        });
      }
    });

    check("exec: standard input to its end", async () => {
      const text = await cluster().kubectl.text(fed(inShell(pod, "wc", "-c")), { stdin: "0123456789", env });
      expect(text.trim()).toBe("10");
    });

    check("exec: a terminal", async () => {
      const { file, args, env: all } = cluster().kubectl.command([], env);
      const inside = inShell(pod, "sh", "-c", "'tty; exit 5'").slice(1);
      const line = [file, ...args, "exec", "--stdin", "--tty", ...inside].join(" ");
      const client = new ManagedProcess("kubectl in a terminal", {
        file: "script",
        args: ["--quiet", "--return", "--command", line, "/dev/null"],
        ...(all && { env: all }),
      });
      const { code, stdout } = await runToEnd(client);
      expect({ code, stdout: stdout.toString() }).toEqual({
        code: 5,
        stdout: expect.stringContaining("/dev/pts/"),
      });
    });

    check("exec: 50 MB up, down, and both ways at once", async () => {
      const { kubectl } = cluster();
      const digest = digestOfSeeded(seed, bulkBytes);
      const up = ["sh", "-c", "cat > /tmp/bulk && sha256sum /tmp/bulk"];
      const stdin = () => seededBytes(seed, bulkBytes);
      expect(await kubectl.text(fed(inShell(pod, ...up)), { stdin: stdin(), env })).toContain(digest);
      expect(digestOf(await kubectl.output(inShell(pod, "cat", "/tmp/bulk"), { env }))).toBe(digest);
      expect(digestOf(await kubectl.output(fed(inShell(pod, "cat")), { stdin: stdin(), env }))).toBe(digest);
    });
  });

  check("exec: 20 at once", async () => {
    const outputs = Array.from({ length: 20 }, (_, index) => {
      const site = index % 2 === 0 ? nodeSites.a : nodeSites.b;
      return cluster().kubectl.text(inShell(podName(site), "echo", `number ${index}`));
    });
    expect(await Promise.all(outputs)).toEqual(outputs.map((_, index) => `number ${index}\n`));
  });

  check("attach: what is written comes back", async () => {
    const client = cluster().kubectl.start(["attach", "--stdin", "--quiet", pod, "--container=echo"]);
    try {
      const lines = createInterface({ input: client.stdout })[Symbol.asyncIterator]();
      for (const word of ["there", "and back"]) {
        client.stdin.write(`${word}\n`);
        const { value } = await within(30_000, client.name, lines.next());
        expect(value, client.describe()).toBe(word);
      }
    } finally {
      await client.stop();
    }
  });
}
