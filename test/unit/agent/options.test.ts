import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type AgentOptions, parseAgentOptions } from "../../../agent/options.ts";
import { agentFlags } from "../../../agent/options-flags.ts";
import { UsageError } from "../../../shared/errors.ts";

const folder = mkdtempSync(join(tmpdir(), "hawser-options-"));
const file = join(folder, "file.pem");

beforeAll(() => writeFileSync(file, ""));
afterAll(() => rmSync(folder, { recursive: true }));

const ca = () => `--ca-cert=${file}`;

function run(argv: readonly string[], env: NodeJS.ProcessEnv = {}): AgentOptions {
  const command = parseAgentOptions(argv, env);
  if (command.kind !== "run") throw new Error(`not a run but ${command.kind}`);
  return command.options;
}

describe("agent options", () => {
  it("have the contract's defaults", () => {
    const { agentId, flagValues, ...options } = run([ca()]);
    expect(options).toEqual({
      identifiers: "",
      server: {
        host: "127.0.0.1",
        port: 8091,
        caFile: file,
        keyPair: undefined,
        alpn: ["h2"],
        proxy: undefined,
        linkProtocol: "auto",
      },
      health: { host: "", port: 8093 },
      admin: { host: "127.0.0.1", port: 8094 },
      profiling: false,
      syncIntervalMs: 1_000,
      syncIntervalCapMs: 10_000,
      halfCloseTimeoutMs: 60_000,
      heldBytesMax: 512 * 1024 * 1024,
      syncForever: false,
      serverCountSource: "default",
      leases: undefined,
      kubernetes: undefined,
      log: { format: "json", verbosity: 4, file: undefined, stderr: true },
      notices: [],
    });
    expect(agentId).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    const names = flagValues.map(([name]) => name);
    expect(names).toEqual([...names].sort());
    expect(names).not.toContain("lease-label");
  });

  it("take every flag that works", () => {
    const options = run([
      ca(),
      `--agent-cert=${file}`,
      `--agent-key=${file}`,
      "--proxy-server-host=[fd00::1]",
      "--proxy-server-port=2000",
      "--alpn-proto=a,b",
      "--alpn-proto=c",
      "--agent-id=x",
      "--agent-identifiers=host=a&default-route=true",
      "--health-server-host=127.0.0.2",
      "--health-server-port=2001",
      "--admin-bind-address=",
      "--admin-server-port=2002",
      "--sync-interval=100ms",
      "--sync-interval-cap=2s",
      "--half-close-timeout=4s",
      "--max-held-mib=5",
      "--sync-forever",
      "--logtostderr=false",
      "--alsologtostderr",
      "--log-file=x.log",
    ]);
    expect(options).toMatchObject({
      agentId: "x",
      identifiers: "host=a&default-route=true",
      server: {
        host: "fd00::1",
        port: 2000,
        keyPair: { certFile: file, keyFile: file },
        alpn: ["a", "b", "c", "h2"],
      },
      health: { host: "127.0.0.2", port: 2001 },
      admin: { host: "", port: 2002 },
      syncIntervalMs: 100,
      syncIntervalCapMs: 2_000,
      halfCloseTimeoutMs: 4_000,
      heldBytesMax: 5 * 1024 * 1024,
      syncForever: true,
      log: { file: "x.log", stderr: true },
      notices: [],
    });
    expect(run([ca(), "--alpn-proto=h2,a"]).server.alpn).toEqual(["h2", "a"]);
  });

  it("take the agent's id from the flag, else from the environment", () => {
    const env = { PROXY_AGENT_ID: "from-env" };
    expect(run([ca(), "--agent-id=from-flag"], env).agentId).toBe("from-flag");
    expect(run([ca()], env).agentId).toBe("from-env");
    expect(run([ca(), "--agent-id="], env).agentId).toBe("from-env");
    expect(run([ca()]).agentId).not.toBe(run([ca()]).agentId);
  });

  it("count servers by leases only if asked to, with the pod's own cluster or a kubeconfig", () => {
    expect(run([ca(), `--kubeconfig=${file}`, "--server-count-source=max"])).toMatchObject({
      serverCountSource: "max",
      leases: undefined,
      kubernetes: undefined,
    });
    const counted = [ca(), "--count-server-leases", "--lease-namespace=ns", "--lease-label-selector=a in (b),!c"];
    const env = { KUBERNETES_SERVICE_HOST: "10.0.0.1", KUBERNETES_SERVICE_PORT: "443" };
    expect(run([...counted, "--server-count-source="], env)).toMatchObject({
      serverCountSource: "default",
      leases: { namespace: "ns", selector: "a in (b),!c" },
      kubernetes: { kubeconfig: "", service: { host: "10.0.0.1", port: "443" } },
    });
    expect(run([...counted, `--kubeconfig=${file}`]).kubernetes).toMatchObject({
      kubeconfig: file,
      service: { host: "", port: "" },
    });
  });

  it("name the proxy of the environment for the server, but for one that is exempt", () => {
    const away = [ca(), "--proxy-server-host=server.example"];
    const env = { HTTPS_PROXY: "http://u:secret@proxy.example:3128" };
    const { server, notices, flagValues } = run(away, env);
    expect(server.proxy).toMatchObject({ host: "proxy.example", port: 3128, shown: "http://proxy.example:3128" });
    expect(notices).toEqual([]);
    expect(JSON.stringify(flagValues)).not.toContain("secret");
    expect(run(away).server.proxy).toBeUndefined();
    expect(run([ca()], env).server.proxy).toBeUndefined();
    expect(run(away, { ...env, no_proxy: "server.example:8091" }).server.proxy).toBeUndefined();
    expect(run([ca(), "--proxy-server-host=[2001:db8::7]"], { ...env, NO_PROXY: "2001:db8::/32" }).server.proxy).toBe(
      undefined,
    );
    const leases = [...away, "--count-server-leases"];
    expect(run(leases, { ...env, NO_PROXY: "x" }).kubernetes?.proxies).toEqual({
      httpsProxy: "http://u:secret@proxy.example:3128",
      noProxy: "x",
    });
  });

  it("speak with a proxy as the reference does: in the clear, at 443 where no port is named", () => {
    const away = [ca(), "--proxy-server-host=server.example"];
    const { server, notices } = run(away, { https_proxy: "https://proxy.example" });
    expect(server.proxy?.port).toBe(443);
    expect(notices).toEqual([
      "HTTPS_PROXY begins with https, but CONNECT goes to the proxy without TLS, as the reference's does",
    ]);
    expect(() => run(away, { https_proxy: "socks5://proxy.example" })).toThrow(
      "HTTPS_PROXY names a proxy of kind socks5",
    );
  });

  it("serve profiles only if asked to", () => {
    expect(run([ca()]).profiling).toBe(false);
    expect(run([ca(), "--enable-profiling", "--enable-contention-profiling"])).toMatchObject({
      profiling: true,
      notices: ["--enable-contention-profiling has no effect: Node's one thread waits for no lock"],
    });
  });

  it("let the last of a flag and its former name win", () => {
    const selector = (...argv: string[]) =>
      run([ca(), ...argv]).flagValues.find(([name]) => name === "lease-label-selector")?.[1];
    expect(selector("--lease-label=a=b")).toBe("a=b");
    expect(selector("--lease-label=a=b", "--lease-label-selector=c=d")).toBe("c=d");
    expect(selector("--lease-label-selector=c=d", "--lease-label=a=b")).toBe("a=b");
  });

  it.each([
    ["--ca-cert=", "failed to load CA cert: --ca-cert is required"],
    ["--proxy-server-host=", "--proxy-server-host must not be empty"],
    ["--admin-server-port=65536", "--admin-server-port must be at most 65535, got 65536"],
    ["--sync-interval=0", "--sync-interval must be greater than 0, got 0s"],
    ["--probe-interval=-1s", "--probe-interval must be greater than 0, got -1s"],
    ["--max-held-mib=0", "--max-held-mib must be from 1 to 1000000, got 0"],
    ["--half-close-timeout=0", "--half-close-timeout must be greater than 0, got 0s"],
    ["--agent-id=\u00e9", "--agent-id must be printable ASCII of at most 253 bytes"],
    [
      `--agent-identifiers=host=${"a".repeat(4096)}`,
      "--agent-identifiers must be printable ASCII of at most 4096 bytes",
    ],
    ["--alpn-proto=a,,b", "--alpn-proto: a protocol's name has 1 to 255 bytes, got 0"],
    [`--alpn-proto=${"a".repeat(256)}`, "--alpn-proto: a protocol's name has 1 to 255 bytes, got 256"],
    ["--log-format=xml", '--log-format must be json or text, got "xml"'],
    ["--agent_identifier=", "unknown flag: --agent_identifier (did you mean --agent-identifiers?)"],
  ])("refuse %.60j", (flag, text) => {
    expect(() => run([ca(), flag])).toThrow(UsageError);
    expect(() => run([ca(), flag])).toThrow(text);
  });

  it("give way to help and version, but not to a mistake", () => {
    const help = parseAgentOptions(["--help", "--proxy-server-port=0"], {});
    if (help.kind !== "help") throw new Error(`not help but ${help.kind}`);
    const named = help.text.match(/--[a-z-]+/g);
    for (const name of Object.keys(agentFlags)) {
      if (name === "lease-label") expect(named).not.toContain("--lease-label");
      else expect(named).toContain(`--${name}`);
    }
    expect(parseAgentOptions(["-h"], {})).toEqual(help);
    expect(parseAgentOptions(["--version"], {})).toEqual({ kind: "version" });
    expect(() => parseAgentOptions(["--help", "--proxy-server-port=x"], {})).toThrow("invalid argument");
  });
});

it("the reference's test framework starts an agent with every flag set, in lexical order", () => {
  const argv = [
    "--admin-bind-address=127.0.0.1",
    "--admin-server-port=40001",
    `--agent-cert=${file}`,
    "--agent-id=agent-1",
    "--agent-identifiers=",
    `--agent-key=${file}`,
    "--alpn-proto=[]",
    `--ca-cert=${file}`,
    "--count-server-leases=false",
    "--enable-contention-profiling=false",
    "--enable-profiling=false",
    "--health-server-host=",
    "--health-server-port=40002",
    "--keepalive-time=1h0m0s",
    "--kube-api-content-type=application/vnd.kubernetes.protobuf",
    "--kubeconfig=",
    "--lease-label=k8s-app=konnectivity-server",
    "--lease-label-selector=k8s-app=konnectivity-server",
    "--lease-namespace=kube-system",
    "--probe-interval=100ms",
    "--proxy-server-host=127.0.0.1",
    "--proxy-server-port=40003",
    "--server-count-source=default",
    "--service-account-token-path=",
    "--sync-forever=false",
    "--sync-interval=100ms",
    "--sync-interval-cap=1s",
    "--warn-on-channel-limit=false",
    "--xfr-channel-size=150",
  ];
  expect(run(argv)).toMatchObject({
    agentId: "agent-1",
    server: { host: "127.0.0.1", port: 40003, caFile: file, alpn: ["[]", "h2"] },
    health: { host: "", port: 40002 },
    admin: { host: "127.0.0.1", port: 40001 },
    syncIntervalMs: 100,
    syncIntervalCapMs: 1_000,
  });
});

/** The argument lists of the reference's manifests, with existing files in the place of theirs. */
describe("a stock manifest of the agent", () => {
  const kind = () => [
    "--logtostderr=true",
    ca(),
    "--proxy-server-host=konnectivity-server.kube-system.svc.cluster.local",
    "--proxy-server-port=8091",
    "--sync-interval=5s",
    "--sync-interval-cap=30s",
    "--probe-interval=5s",
    "--agent-identifiers=ipv4=10.0.0.7",
  ];
  const token = () => `--service-account-token-path=${file}`;

  it("examples/kind and examples/kubernetes: the agent presents a token", () => {
    expect(run(kind()).tokenFile).toBeUndefined();
    expect(run([...kind(), token()])).toMatchObject({
      tokenFile: file,
      identifiers: "ipv4=10.0.0.7",
      server: { host: "konnectivity-server.kube-system.svc.cluster.local" },
      syncIntervalMs: 5_000,
      syncIntervalCapMs: 30_000,
    });
  });

  it("examples/kind-multinode and e2e: servers are counted by their leases", () => {
    const args = [...kind(), "--sync-forever", "--admin-bind-address=", "--count-server-leases"];
    expect(run(args)).toMatchObject({
      syncForever: true,
      admin: { host: "", port: 8094 },
      serverCountSource: "default",
      leases: { namespace: "kube-system", selector: "k8s-app=konnectivity-server" },
      notices: [expect.stringMatching(/^--probe-interval has no effect/)],
    });
  });

  it("README: mTLS, without Kubernetes", () => {
    const { server } = run([ca(), `--agent-cert=${file}`, `--agent-key=${file}`]);
    expect(server.keyPair).toEqual({ certFile: file, keyFile: file });
  });
});

it("options come out the same from their own flag values", () => {
  const flag = (name: string, values: fc.Arbitrary<string>) => values.map((value) => `--${name}=${value}`);
  const duration = (max: bigint) => fc.bigInt({ min: 1n, max }).map((nanoseconds) => `${nanoseconds}ns`);
  const port = fc.integer({ min: 1, max: 65535 }).map(String);
  const text = fc.string({ unit: "binary-ascii" });
  const protocol = fc.string({ unit: "binary-ascii", minLength: 1 }).map((name) => `"${name.replaceAll('"', '""')}"`);
  const argv = fc.subarray([
    flag("proxy-server-port", port),
    flag("admin-server-port", port),
    flag("health-server-host", text),
    flag("alpn-proto", fc.array(protocol).map(String)),
    flag("agent-id", fc.stringMatching(/^[ -~]{0,253}$/)),
    flag("agent-identifiers", fc.constantFrom("", "host=a&ipv4=%31", "default-route=t")),
    flag("sync-interval", duration(10_000_000_000n)),
    flag("sync-interval-cap", fc.constantFrom("10s", "1h0.5s", "1000000h")),
    flag("probe-interval", duration(2n ** 62n)),
    flag("keepalive-time", duration(2n ** 62n)),
    flag("sync-forever", fc.constantFrom("true", "F")),
    flag("lease-label", fc.constantFrom("", "a in (b,c)", "!a")),
    flag("server-count-source", fc.constantFrom("", "default")),
    flag("log-format", fc.constantFrom("json", "text")),
    flag("alsologtostderr", fc.constantFrom("t", "false")),
  ]);
  fc.assert(
    fc.property(
      argv.chain((flags) => fc.tuple(...flags)),
      (flags) => {
        const { notices: _, ...options } = run([ca(), ...flags]);
        const again = run(options.flagValues.map(([name, value]) => `--${name}=${value}`));
        expect(again).toMatchObject(options);
      },
    ),
    { numRuns: 300 },
  );
});
