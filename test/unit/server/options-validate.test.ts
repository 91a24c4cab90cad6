import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parseServerOptions } from "../../../server/options.ts";
import { UsageError } from "../../../shared/errors.ts";

const folder = mkdtempSync(join(tmpdir(), "hawser-options-"));
const file = join(folder, "file.pem");
const missing = join(folder, "missing.pem");

beforeAll(() => writeFileSync(file, ""));
afterAll(() => rmSync(folder, { recursive: true }));

/** A TCP frontend and authenticated agents: valid as it stands. */
const base = [
  `--server-ca-cert=${file}`,
  `--server-cert=${file}`,
  `--server-key=${file}`,
  `--cluster-ca-cert=${file}`,
  `--cluster-cert=${file}`,
  `--cluster-key=${file}`,
];
/** The same with the frontend on a socket. */
const uds = ["--uds-name=/run/x", "--server-port=0", ...base, "--server-ca-cert=", "--server-cert=", "--server-key="];
const tokens = ["--agent-namespace=a", "--agent-service-account=b", "--authentication-audience=c"];

const parse = (...argv: string[]) => parseServerOptions(argv, {});
const notFound = `stat ${missing}: no such file or directory`;

describe("a server's flags pass the reference's rules", () => {
  it.each<[string[]]>([
    [[]],
    [uds],
    [["--server-port=1024"]],
    [["--server-port=49151"]],
    [["--health-port=1024"]],
    [["--health-port=49151"]],
    [["--admin-port=1024"]],
    [["--admin-port=49151"]],
    [["--agent-port=1024"]],
    [["--agent-port=49151"]],
    [["--cipher-suites=TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"]],
    [["--cipher-suites="]],
    [["--tls-min-version=VersionTLS12"]],
    [["--tls-min-version=VersionTLS13"]],
    [["--tls-min-version="]],
    [["--proxy-strategies=destHost,,default,destHost"]],
    [["--graceful-shutdown-timeout=0"]],
    [["--graceful-shutdown-timeout=30s"]],
    [["--backend-dial-timeout=0"]],
    [["--backend-dial-timeout=30s"]],
    [["--xfr-channel-size=1"]],
  ])("%j", (argv) => {
    expect(parse(...base, ...argv).kind).toBe("run");
  });
});

describe("a server's flags fail the reference's rules", () => {
  it.each<[string[], string]>([
    [[`--server-key=${missing}`], `error checking server key ${missing}, got ${notFound}`],
    [["--server-cert="], `cannot have server cert empty when server key is set to "${file}"`],
    [[`--server-cert=${missing}`], `error checking server cert ${missing}, got ${notFound}`],
    [["--server-key="], `cannot have server key empty when server cert is set to "${file}"`],
    [[`--server-ca-cert=${missing}`], `error checking server CA cert ${missing}, got ${notFound}`],
    [[`--cluster-key=${missing}`], `error checking cluster key ${missing}, got ${notFound}`],
    [["--cluster-cert="], `cannot have cluster cert empty when cluster key is set to "${file}"`],
    [[`--cluster-cert=${missing}`], `error checking cluster cert ${missing}, got ${notFound}`],
    [["--cluster-key="], `cannot have cluster key empty when cluster cert is set to "${file}"`],
    [[`--cluster-ca-cert=${missing}`], `error checking cluster CA cert ${missing}, got ${notFound}`],
    [["--mode=udp"], `mode must be set to either 'grpc', 'http-connect' or 'auto' not "udp"`],
    [["--uds-name=/run/x"], "server port should be set to 0 not 8090 for UDS"],
    [[...uds, `--server-cert=${file}`, `--server-key=${file}`], "server key should not be set for UDS"],
    [[...uds, `--server-ca-cert=${file}`], "server ca cert should not be set for UDS"],
    [["--server-ca-cert="], "server ca cert must be set when in TCP mode (uds-name is empty)"],
    [["--server-port=49152"], "please do not try to use ephemeral port 49152 for the server port"],
    [["--agent-port=49152"], "please do not try to use ephemeral port 49152 for the agent port"],
    [["--admin-port=49152"], "please do not try to use ephemeral port 49152 for the admin port"],
    [["--health-port=49152"], "please do not try to use ephemeral port 49152 for the health port"],
    [["--server-port=1023"], "please do not try to use reserved port 1023 for the server port"],
    [["--agent-port=1023"], "please do not try to use reserved port 1023 for the agent port"],
    [["--admin-port=1023"], "please do not try to use reserved port 1023 for the admin port"],
    [["--health-port=1023"], "please do not try to use reserved port 1023 for the health port"],
    [["--enable-contention-profiling"], "if --enable-contention-profiling is set, --enable-profiling must also be set"],
    [tokens, "--cluster-ca-cert can not be used when agent authentication is enabled"],
    [
      [...tokens, "--cluster-ca-cert=", "--agent-namespace="],
      "--agent-namespace cannot be empty when agent authentication is enabled",
    ],
    [
      [...tokens, "--cluster-ca-cert=", "--agent-service-account="],
      "--agent-service-account cannot be empty when agent authentication is enabled",
    ],
    [
      [...tokens, "--cluster-ca-cert=", "--authentication-audience="],
      "--authentication-audience cannot be empty when agent authentication is enabled",
    ],
    [[`--kubeconfig=${missing}`], `checking KubeconfigPath "${missing}", got ${notFound}`],
    [["--proxy-strategies="], "ProxyStrategies cannot be empty"],
    [["--proxy-strategies=x"], "invalid proxy strategies: unknown proxy strategy: x"],
    [["--proxy-strategies=default,desthost"], "invalid proxy strategies: unknown proxy strategy: desthost"],
    [["--proxy-strategies=,,"], "invalid proxy strategies: proxy strategies cannot be empty"],
    [["--xfr-channel-size=0"], "channel size 0 must be greater than 0"],
    [["--xfr-channel-size=-10"], "channel size -10 must be greater than 0"],
    [
      ["--tls-min-version=TLS12"],
      'unsupported TLS version "TLS12", supported values are: VersionTLS10, VersionTLS11, VersionTLS12, VersionTLS13',
    ],
    [
      ["--cipher-suites=TLS_RSA_WITH_RC4_128_SHA"],
      "cipher suite TLS_RSA_WITH_RC4_128_SHA not supported, doesn't exist or considered as insecure",
    ],
    [["--cipher-suites=[]"], "cipher suite [] not supported, doesn't exist or considered as insecure"],
    [["--enable-lease-controller", "--lease-label="], "empty string provided"],
    [["--enable-lease-controller", "--lease-label=a=b,c"], "invalid label format: c"],
    [["--graceful-shutdown-timeout=-1s"], "graceful-shutdown-timeout must be >= 0, got -1s"],
    [["--backend-dial-timeout=-1s"], "backend-dial-timeout must be >= 0, got -1s"],
  ])("%j", (argv, text) => {
    const expected = new UsageError(`failed to validate server options with ${text}`);
    expect(() => parse(...base, ...argv)).toThrow(expected);
  });

  it("one at a time, in the reference's order", () => {
    // Each pair is a flag that breaks a rule, and the value that mends it. Mended from the front, each failure is the next one.
    const steps: readonly (readonly [broken: string, mended: string, text: string])[] = [
      [`--server-key=${missing}`, `--server-key=${file}`, "error checking server key"],
      [`--server-cert=${missing}`, `--server-cert=${file}`, "error checking server cert"],
      [`--server-ca-cert=${missing}`, `--server-ca-cert=${file}`, "error checking server CA cert"],
      [`--cluster-key=${missing}`, `--cluster-key=${file}`, "error checking cluster key"],
      [`--cluster-cert=${missing}`, `--cluster-cert=${file}`, "error checking cluster cert"],
      [`--cluster-ca-cert=${missing}`, `--cluster-ca-cert=${file}`, "error checking cluster CA cert"],
      ["--mode=x", "--mode=grpc", "mode must be set"],
      ["--server-port=50000", "--server-port=8090", "ephemeral port 50000 for the server port"],
      ["--admin-port=50000", "--admin-port=8095", "ephemeral port 50000 for the admin port"],
      ["--agent-port=80", "--agent-port=8091", "reserved port 80 for the agent port"],
      ["--enable-contention-profiling", "--enable-contention-profiling=false", "if --enable-contention-profiling"],
      ["--agent-namespace=a", "--agent-namespace=", "--cluster-ca-cert can not be used"],
      [`--kubeconfig=${missing}`, "--kubeconfig=", "checking KubeconfigPath"],
      ["--proxy-strategies=x", "--proxy-strategies=default", "invalid proxy strategies"],
      ["--xfr-channel-size=0", "--xfr-channel-size=1", "channel size 0"],
      ["--tls-min-version=x", "--tls-min-version=", "unsupported TLS version"],
      ["--cipher-suites=x", "--cipher-suites=TLS_AES_128_GCM_SHA256", "cipher suite x not supported"],
      ["--lease-label=x", "--lease-label=x=y", "invalid label format: x"],
      ["--graceful-shutdown-timeout=-1s", "--graceful-shutdown-timeout=0", "graceful-shutdown-timeout must be >= 0"],
      ["--backend-dial-timeout=-1s", "--backend-dial-timeout=0", "backend-dial-timeout must be >= 0"],
    ];
    const lists = new Set(["--cipher-suites"]);
    for (const [index, [, , text]] of steps.entries()) {
      const argv = steps.flatMap(([broken, mended], step) => {
        if (step >= index) return [broken];
        return lists.has(broken.split("=", 1)[0] ?? "") ? [mended] : [broken, mended];
      });
      expect(() => parse("--enable-lease-controller", ...argv)).toThrow(text);
    }
  });
});
