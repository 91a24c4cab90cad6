import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parseServerOptions, type ServerOptions } from "../../../server/options.ts";
import { serverFlags } from "../../../server/options-flags.ts";
import { UsageError } from "../../../shared/errors.ts";

const folder = mkdtempSync(join(tmpdir(), "hawser-options-"));
const file = join(folder, "file.pem");

beforeAll(() => writeFileSync(file, ""));
afterAll(() => rmSync(folder, { recursive: true }));

const pair = [`--cluster-cert=${file}`, `--cluster-key=${file}`];
const base = [
  `--server-ca-cert=${file}`,
  `--server-cert=${file}`,
  `--server-key=${file}`,
  `--cluster-ca-cert=${file}`,
  ...pair,
];

function run(argv: readonly string[], env: NodeJS.ProcessEnv = {}): ServerOptions {
  const command = parseServerOptions(argv, env);
  if (command.kind !== "run") throw new Error(`not a run but ${command.kind}`);
  return command.options;
}

const anyIdentifier = expect.stringMatching(/^--agent-identifier-policy=any: .*may claim any host.*own-node/);

describe("server options", () => {
  it("have the contract's defaults", () => {
    const { serverId, flagValues, ...options } = run(base);
    const tls = { minVersion: "TLSv1.2", cipherSuites: [] };
    const keyPair = { certFile: file, keyFile: file };
    expect(options).toEqual({
      serverCount: 1,
      workers: 1,
      frontends: [
        { mode: "grpc", listen: { kind: "tcp", host: "", port: 8090, keyPair, caFile: file, clientNames: [], tls } },
      ],
      agentListener: { host: "", port: 8091, keyPair, caFile: file, tls },
      agentTokens: undefined,
      agentIdentifierPolicy: "any",
      kubernetes: undefined,
      health: { host: "", port: 8092 },
      admin: { host: "127.0.0.1", port: 8095 },
      profiling: false,
      strategies: ["default"],
      keepaliveMs: 3_600_000,
      frontendKeepaliveMs: 3_600_000,
      dialTimeoutMs: 8_000,
      halfCloseTimeoutMs: 60_000,
      gracefulShutdownTimeoutMs: 15_000,
      limits: {
        frontendConnectionsMax: 20_000,
        pendingDialsMax: 2_000,
        agentLinksMax: 10_000,
        agentConnectionsMax: 10_000,
        heldBytesMax: 512 * 1024 * 1024,
        connectionIdleMs: 0,
        connectionLifetimeMs: 0,
      },
      log: { format: "json", verbosity: 4, file: undefined, stderr: true },
      notices: [anyIdentifier],
    });
    expect(serverId).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    expect(flagValues).toContainEqual(["server-id", serverId]);
    expect(flagValues).toContainEqual(["keepalive-time", "1h0m0s"]);
    const names = flagValues.map(([name]) => name);
    expect(names).toEqual([...names].sort());
    expect(names).not.toContain("help");
  });

  it("take every flag that works", () => {
    const options = run([
      ...base,
      "--mode=auto",
      "--server-bind-address=[::1]",
      "--server-port=2000",
      "--agent-bind-address=127.0.0.2",
      "--agent-port=2001",
      "--health-bind-address=127.0.0.3",
      "--health-port=2002",
      "--admin-bind-address=",
      "--admin-port=2003",
      "--server-count=3",
      "--proxy-strategies=destHost,,defaultRoute,default",
      "--tls-min-version=VersionTLS13",
      "--cipher-suites=TLS_AES_128_GCM_SHA256",
      "--cipher-suites=TLS_AES_256_GCM_SHA384",
      "--keepalive-time=30s",
      "--frontend-keepalive-time=1ms",
      "--backend-dial-timeout=2s",
      "--half-close-timeout=3s",
      "--graceful-shutdown-timeout=4s",
      "--max-frontend-connections=11",
      "--max-pending-dials=12",
      "--max-agent-links=13",
      "--max-agent-connections=14",
      "--max-held-mib=15",
      "--connection-idle-timeout=16s",
      "--connection-max-lifetime=1h",
      "--log-format=text",
      "-v6",
      "--logtostderr=false",
      "--log-file=/var/log/x.log",
    ]);
    const tls = { minVersion: "TLSv1.3", cipherSuites: ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384"] };
    expect(options).toMatchObject({
      serverCount: 3,
      frontends: [{ mode: "auto", listen: { host: "::1", port: 2000, tls } }],
      agentListener: { host: "127.0.0.2", port: 2001, tls },
      health: { host: "127.0.0.3", port: 2002 },
      admin: { host: "", port: 2003 },
      strategies: ["destHost", "defaultRoute", "default"],
      keepaliveMs: 30_000,
      frontendKeepaliveMs: 1_000,
      dialTimeoutMs: 2_000,
      halfCloseTimeoutMs: 3_000,
      gracefulShutdownTimeoutMs: 4_000,
      limits: {
        frontendConnectionsMax: 11,
        pendingDialsMax: 12,
        agentLinksMax: 13,
        agentConnectionsMax: 14,
        heldBytesMax: 15 * 1024 * 1024,
        connectionIdleMs: 16_000,
        connectionLifetimeMs: 3_600_000,
      },
      log: { format: "text", verbosity: 6, file: "/var/log/x.log", stderr: false },
      notices: [anyIdentifier],
    });
  });

  it("put the frontend on a socket", () => {
    const argv = ["--uds-name=/run/x.socket", "--server-port=0", `--cluster-ca-cert=${file}`, ...pair];
    const listen = { kind: "uds", path: "/run/x.socket", deleteExisting: true };
    expect(run(argv).frontends).toEqual([{ mode: "grpc", listen }]);
    const kept = run([...argv, "--delete-existing-uds-file=false", "--mode=http-connect"]).frontends;
    expect(kept).toEqual([{ mode: "http-connect", listen: { ...listen, deleteExisting: false } }]);
  });

  it("give an explicit 0 its own meaning", () => {
    const zero = ["--backend-dial-timeout=0", "--graceful-shutdown-timeout=0", "--keepalive-time=0"];
    expect(run([...base, ...zero])).toMatchObject({
      dialTimeoutMs: 30_000,
      gracefulShutdownTimeoutMs: 0,
      keepaliveMs: 7_200_000,
    });
  });

  it("take the server's id from the flag, else from the environment", () => {
    const env = { PROXY_SERVER_ID: "from-env" };
    expect(run([...base, "--server-id=from-flag"], env).serverId).toBe("from-flag");
    expect(run(base, env).serverId).toBe("from-env");
    expect(run([...base, "--server-id="], env).serverId).toBe("from-env");
    expect(run(base).serverId).not.toBe(run(base).serverId);
  });

  it("publish a lease if asked to, and then need the Kubernetes API", () => {
    expect(run([...base, "--lease-label=x", "--server-id=Not_A_Name"])).toMatchObject({
      leases: undefined,
      kubernetes: undefined,
    });
    const leases = [
      "--enable-lease-controller",
      "--lease-namespace=ns",
      "--lease-label= a = b ,c.d/e=",
      "--server-id=s.1",
    ];
    expect(run([...base, ...leases, `--kubeconfig=${file}`])).toMatchObject({
      leases: { serverId: "s.1", namespace: "ns", labels: { a: "b", "c.d/e": "" } },
      kubernetes: { kubeconfig: file },
    });
    expect(run([...base, "--enable-lease-controller"]).leases?.serverId).toMatch(/^[0-9a-f-]{36}$/);
  });

  it.each([
    ["--server-id=Not_A_Name", "--server-id: with --enable-lease-controller it ends the name of a lease"],
    [`--server-id=${"a".repeat(253)}`, "--server-id: with --enable-lease-controller it ends the name of a lease"],
    ["--lease-namespace=", "--lease-namespace must not be empty"],
    ["--lease-label=a=b c", "--lease-label: "],
    ["--lease-label==b", "--lease-label: "],
    ["--lease-label=a=-", "--lease-label: "],
  ])("refuse a lease that the Kubernetes API would refuse: %.40j", (flag, text) => {
    expect(() => run([...base, "--enable-lease-controller", flag])).toThrow(UsageError);
    expect(() => run([...base, "--enable-lease-controller", flag])).toThrow(text);
  });

  it("bring notices of flags without effect and of weak security", () => {
    const { notices } = run([
      ...base,
      "--cluster-ca-cert=",
      "--allow-unauthenticated-agents",
      "--tls-min-version=VersionTLS11",
      "--xfr-channel-size=10",
      "--warn-on-channel-limit",
      "--kube-api-content-type=application/json",
    ]);
    expect(notices).toEqual([
      "--xfr-channel-size has no effect: queues are bounded in bytes",
      expect.stringMatching(/^--warn-on-channel-limit is deprecated: /),
      expect.stringMatching(/^--kube-api-content-type has no effect: /),
      expect.stringMatching(/^--tls-min-version=VersionTLS11 .* insecure/),
      expect.stringMatching(/^--allow-unauthenticated-agents: /),
      anyIdentifier,
    ]);
  });

  it("hold agents to their own nodes only where they prove who they are, and where that leaves a strategy of use", () => {
    const ownNode = "--agent-identifier-policy=own-node";
    expect(run([...base, ownNode])).toMatchObject({ agentIdentifierPolicy: "own-node", notices: [] });
    const unchecked = [...base, "--cluster-ca-cert=", "--allow-unauthenticated-agents", ownNode];
    expect(() => run(unchecked)).toThrow(
      /--agent-identifier-policy=own-node .*--allow-unauthenticated-agents.*--cluster-ca-cert/,
    );
    const routes = [...base, ownNode, "--proxy-strategies=destHost,defaultRoute"];
    expect(() => run(routes)).toThrow(/--agent-identifier-policy=own-node .*defaultRoute in --proxy-strategies/);
  });

  it("name who may use a frontend, in one list from all places, and not on a socket", () => {
    const names = ["--frontend-client-names=a,spiffe://b", "--frontend-client-names=c d"];
    expect(run([...base, ...names]).frontends[0]?.listen).toMatchObject({ clientNames: ["a", "spiffe://b", "c d"] });
    const socket = ["--uds-name=/run/x.socket", "--server-port=0", `--cluster-ca-cert=${file}`, ...pair];
    expect(() => run([...socket, ...names])).toThrow(/--frontend-client-names cannot be used with --uds-name/);
  });

  it("ask for what a server cannot do without", () => {
    const without = (...names: string[]) => base.filter((flag) => !names.some((name) => flag.startsWith(`--${name}=`)));
    expect(() => run(without("cluster-cert", "cluster-key"))).toThrow(
      /^failed to run the agent server: failed to load X509 key pair: --cluster-cert and --cluster-key are required/,
    );
    expect(() => run(without("server-cert", "server-key"))).toThrow(
      /^failed to run the frontend server: failed to load X509 key pair: --server-cert and --server-key are required/,
    );
    const waysOut = /--cluster-ca-cert.*--agent-namespace.*--allow-unauthenticated-agents/;
    expect(() => run(without("cluster-ca-cert"))).toThrow(waysOut);
    expect(run([...without("cluster-ca-cert"), "--allow-unauthenticated-agents"]).agentListener.caFile).toBeUndefined();
  });

  it("serve profiles only if asked to", () => {
    expect(run(base).profiling).toBe(false);
    expect(run([...base, "--enable-profiling"]).profiling).toBe(true);
    expect(run([...base, "--enable-profiling", "--enable-contention-profiling"]).notices).toEqual(
      expect.arrayContaining(["--enable-contention-profiling has no effect: Node's one thread waits for no lock"]),
    );
  });

  it("call kube-apiserver where tokens are checked, and not otherwise", () => {
    const tokens = ["--agent-namespace=ns", "--agent-service-account=sa", "--authentication-audience=aud"];
    const argv = [...base, "--cluster-ca-cert=", ...tokens];
    const pod = { KUBERNETES_SERVICE_HOST: "10.0.0.1", KUBERNETES_SERVICE_PORT: "443" };
    const options = run(argv, { ...pod, HTTPS_PROXY: "http://p:1", no_proxy: "x" });
    expect(options).toMatchObject({
      agentListener: { caFile: undefined },
      agentTokens: { namespace: "ns", serviceAccount: "sa", audience: "aud" },
      kubernetes: {
        kubeconfig: "",
        service: { host: "10.0.0.1", port: "443" },
        proxies: { httpsProxy: "http://p:1", noProxy: "x" },
        qps: 100,
        burst: 200,
      },
      notices: [anyIdentifier],
    });
    const kubeconfig = [`--kubeconfig=${file}`, "--kubeconfig-qps=0.25", "--kubeconfig-burst=7"];
    const service = { host: "", port: "" };
    const proxies = { httpsProxy: "", noProxy: "" };
    expect(run([...argv, ...kubeconfig]).kubernetes).toEqual({
      kubeconfig: file,
      service,
      proxies,
      qps: 0.25,
      burst: 7,
    });
    expect(run([...argv, "--kubeconfig-qps=0.25"]).kubernetes).toMatchObject({ qps: 0.25, burst: 1 });
    expect(run([...argv, "--kubeconfig-qps=-1"]).kubernetes).toMatchObject({ qps: -1, burst: 1 });
    expect(run([...base, ...kubeconfig]).kubernetes).toBeUndefined();
  });

  it.each([
    ["--server-id=a\nb", "--server-id must be printable ASCII of at most 253 bytes"],
    [`--server-id=${"a".repeat(254)}`, "--server-id must be printable ASCII of at most 253 bytes"],
    ["--max-frontend-connections=0", "--max-frontend-connections must be from 1 to 1000000, got 0"],
    ["--workers=0", "--workers must be from 1 to 64, got 0"],
    ["--workers=-1", "--workers must be from 1 to 64, got -1"],
    ["--workers=65", "--workers must be from 1 to 64, got 65"],
    ["--workers=two", 'invalid argument "two" for "--workers" flag: strconv.ParseInt: parsing "two": invalid syntax'],
    ["--max-pending-dials=-1", "--max-pending-dials must be from 1 to 1000000, got -1"],
    ["--max-agent-links=0", "--max-agent-links must be from 1 to 1000000, got 0"],
    ["--max-agent-connections=1000001", "--max-agent-connections must be from 1 to 1000000, got 1000001"],
    ["--max-held-mib=0", "--max-held-mib must be from 1 to 1000000, got 0"],
    ["--half-close-timeout=0", "--half-close-timeout must be greater than 0, got 0s"],
    ["--connection-idle-timeout=-1s", "--connection-idle-timeout must be 0 or greater, got -1s"],
    ["--connection-max-lifetime=-1ms", "--connection-max-lifetime must be 0 or greater, got -1ms"],
    ["--log-format=xml", '--log-format must be json or text, got "xml"'],
    ["--agent-identifier-policy=all", '--agent-identifier-policy must be any or own-node, got "all"'],
    ["--agent-identifier-policy=", '--agent-identifier-policy must be any or own-node, got ""'],
    ["--frontend-client-names=a,,b", '--frontend-client-names holds "", which no certificate has as a name'],
    ["--frontend-client-names=a, b", '--frontend-client-names holds " b", which no certificate has as a name'],
    ["--kubeconfig-burst=-1", "--kubeconfig-burst must be >= 0, got -1"],
    ["--sever-port=1", "unknown flag: --sever-port (did you mean --server-port?)"],
  ])("refuse %j", (flag, text) => {
    expect(() => run([...base, flag])).toThrow(UsageError);
    expect(() => run([...base, flag])).toThrow(text);
  });

  it("give way to help and version, but not to a mistake", () => {
    const help = parseServerOptions(["--help", "--server-port=1"], {});
    if (help.kind !== "help") throw new Error(`not help but ${help.kind}`);
    for (const name of Object.keys(serverFlags)) expect(help.text).toContain(`--${name}`);
    expect(parseServerOptions(["-h"], {})).toEqual(help);
    expect(parseServerOptions(["--version"], {})).toEqual({ kind: "version" });
    expect(() => parseServerOptions(["--help", "--server-port=x"], {})).toThrow("invalid argument");
  });
});

/** The argument lists of the reference's manifests, with existing files in the place of theirs. */
describe("a stock manifest of the server", () => {
  const kind = [
    "--log-file=/var/log/konnectivity-server.log",
    "--logtostderr=true",
    "--log-file-max-size=0",
    "--uds-name=/etc/kubernetes/konnectivity-server/konnectivity-server.socket",
    "--delete-existing-uds-file",
    ...pair,
    "--server-port=0",
    "--agent-port=8091",
    "--health-port=8092",
    "--admin-port=8093",
    "--keepalive-time=1h",
    "--mode=grpc",
  ];
  const tokenFlags = [
    "--agent-namespace=kube-system",
    "--agent-service-account=konnectivity-agent",
    `--kubeconfig=${file}`,
    "--authentication-audience=system:konnectivity-server",
  ];

  it("examples/kind: agents are authenticated by token", () => {
    const options = run([...kind, ...tokenFlags]);
    expect(options).toMatchObject({
      agentListener: { caFile: undefined },
      agentTokens: {
        namespace: "kube-system",
        serviceAccount: "konnectivity-agent",
        audience: "system:konnectivity-server",
      },
      kubernetes: { kubeconfig: file },
    });
    expect(options.frontends[0]?.listen).toMatchObject({ kind: "uds" });
    expect(options.log).toMatchObject({ file: undefined, stderr: true });
    expect(options.notices).toContain(
      "--log-file is ignored, since --logtostderr is true; the log goes to standard error",
    );
    expect(options.admin).toEqual({ host: "127.0.0.1", port: 8093 });
  });

  it("examples/kind-multinode: the server publishes a lease", () => {
    expect(run([...kind, ...tokenFlags, "--enable-lease-controller"]).leases).toMatchObject({
      namespace: "kube-system",
      labels: { "k8s-app": "konnectivity-server" },
    });
  });

  it("e2e: the last of two modes wins, and an empty admin address means all", () => {
    const args = [...kind, "--admin-port=8095", "--admin-bind-address=", "--server-count=4", "--mode=http-connect"];
    expect(run([...args, ...tokenFlags])).toMatchObject({
      serverCount: 4,
      frontends: [{ mode: "http-connect" }],
      admin: { host: "", port: 8095 },
    });
  });

  it("examples/kubernetes: the log goes to the file", () => {
    const args = [...kind, "--logtostderr=false", "--mode=http-connect"];
    expect(run([...args, ...tokenFlags]).log).toMatchObject({
      file: "/var/log/konnectivity-server.log",
      stderr: false,
    });
  });

  it("README: mTLS on both sides, without Kubernetes", () => {
    expect(run([...base, "--server-port=8090", "--agent-port=8091", "--mode=http-connect"]).frontends).toHaveLength(1);
  });
});

it("options come out the same from their own flag values", () => {
  const flag = (name: string, values: fc.Arbitrary<string>) => values.map((value) => `--${name}=${value}`);
  const duration = (min: bigint) => fc.bigInt({ min, max: 2n ** 62n }).map((nanoseconds) => `${nanoseconds}ns`);
  const port = fc.integer({ min: 1024, max: 49151 }).map(String);
  const text = fc.string({ unit: "binary-ascii" });
  const argv = fc.subarray([
    flag("mode", fc.constantFrom("grpc", "http-connect", "auto")),
    flag("server-port", port),
    flag("agent-port", port),
    flag("server-bind-address", text),
    flag("server-id", fc.stringMatching(/^[ -~]{0,253}$/)),
    flag("server-count", fc.maxSafeInteger().map(String)),
    flag("keepalive-time", duration(0n)),
    flag("backend-dial-timeout", duration(0n)),
    flag("graceful-shutdown-timeout", duration(0n)),
    flag("half-close-timeout", duration(1n)),
    flag("connection-idle-timeout", duration(0n)),
    flag("connection-max-lifetime", duration(0n)),
    flag("kubeconfig-qps", fc.float({ noNaN: true, noDefaultInfinity: true }).map(String)),
    flag("cipher-suites", fc.constantFrom("", "TLS_AES_128_GCM_SHA256,TLS_AES_256_GCM_SHA384")),
    flag("tls-min-version", fc.constantFrom("", "VersionTLS10", "VersionTLS13")),
    flag("agent-identifier-policy", fc.constantFrom("any", "own-node")),
    flag("frontend-client-names", fc.constantFrom("", "a", "a,b c", "spiffe://d")),
    flag("proxy-strategies", fc.constantFrom("default", "destHost,default", ",destHost")),
    flag("log-file", text),
    flag("logtostderr", fc.constantFrom("true", "F")),
    flag("v", fc.integer({ min: -9, max: 9 }).map(String)),
  ]);
  fc.assert(
    fc.property(
      argv.chain((flags) => fc.tuple(...flags)),
      (flags) => {
        const { notices: _, ...options } = run([...base, ...flags]);
        const again = run(options.flagValues.map(([name, value]) => `--${name}=${value}`));
        expect(again).toMatchObject(options);
      },
    ),
    { numRuns: 300 },
  );
});
