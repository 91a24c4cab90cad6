import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parseAgentOptions } from "../../../agent/options.ts";
import { UsageError } from "../../../shared/errors.ts";

const folder = mkdtempSync(join(tmpdir(), "hawser-options-"));
const file = join(folder, "file.pem");
const missing = join(folder, "missing.pem");

beforeAll(() => writeFileSync(file, ""));
afterAll(() => rmSync(folder, { recursive: true }));

const parse = (...argv: string[]) => parseAgentOptions([`--ca-cert=${file}`, ...argv], {});
const notFound = `stat ${missing}: no such file or directory`;
const ports = ["proxy-server-port", "health-server-port", "admin-server-port"];

describe("an agent's flags pass the reference's rules", () => {
  it.each<[string[]]>([
    [[]],
    ...ports.flatMap((name) => [1, 1023, 1024, 49151, 49152].map((port): [string[]] => [[`--${name}=${port}`]])),
    [[`--agent-cert=${file}`, `--agent-key=${file}`]],
    [["--xfr-channel-size=1"]],
    [["--sync-interval=10s", "--sync-interval-cap=10s"]],
    [["--server-count-source="]],
    [["--server-count-source=default"]],
    [["--agent-identifiers=ipv4=1.2.3.4&ipv6=::1&host=a&cidr=10.0.0.0/8&default-route=true"]],
    // biome-ignore lint/suspicious/noTemplateCurlyInString: a stock manifest holds this text, which Kubernetes leaves as it is.
    [["--agent-identifiers=ipv4=${HOST_IP}"]],
    [["--lease-label=k8s-app=konnectivity-server"]],
    [["--lease-label="]],
    [["--lease-label=a=b,c=d"]],
    [["--lease-label-selector=k8s-app=konnectivity-server"]],
    [["--lease-label-selector="]],
    [["--lease-label-selector=a=b,c in (d,e)"]],
  ])("%j", (argv) => {
    expect(parse(...argv).kind).toBe("run");
  });
});

describe("an agent's flags fail the reference's rules", () => {
  it.each<[string[], string]>([
    [[`--agent-key=${missing}`], `error checking agent key ${missing}, got ${notFound}`],
    [[`--agent-key=${file}`], `cannot have agent cert empty when agent key is set to "${file}"`],
    [[`--agent-cert=${missing}`], `error checking agent cert ${missing}, got ${notFound}`],
    [[`--agent-cert=${file}`], `cannot have agent key empty when agent cert is set to "${file}"`],
    [[`--ca-cert=${missing}`], `error checking agent CA cert ${missing}, got ${notFound}`],
    ...ports.flatMap((name) =>
      [0, -1].map((port): [string[], string] => [
        [`--${name}=${port}`],
        `${name.replaceAll("-", " ")} ${port} must be greater than 0`,
      ]),
    ),
    [["--xfr-channel-size=0"], "channel size 0 must be greater than 0"],
    [["--xfr-channel-size=-10"], "channel size -10 must be greater than 0"],
    [["--enable-contention-profiling"], "if --enable-contention-profiling is set, --enable-profiling must also be set"],
    [["--sync-interval=11s"], "sync interval 11s must be less than sync interval cap 10s"],
    [
      [`--service-account-token-path=${missing}`],
      `error checking service account token path ${missing}, got ${notFound}`,
    ],
    [["--agent-identifiers=uid=1"], "agent address is invalid: unknown address type: uid"],
    [["--agent-identifiers=ipv4=1;host=a"], "agent address is invalid: invalid semicolon separator in query"],
    [["--agent-identifiers=host=%zz"], 'agent address is invalid: invalid URL escape "%zz"'],
    [[`--kubeconfig=${missing}`], `checking KubeconfigPath "${missing}", got ${notFound}`],
    [["--server-count-source=foobar"], "--server-count-source must be one of '', 'default', 'max', got foobar"],
  ])("%j", (argv, text) => {
    expect(() => parse(...argv)).toThrow(new UsageError(`failed to validate agent options with ${text}`));
  });

  it.each(["lease-label", "lease-label-selector"])("a selector that is none, in --%s", (name) => {
    expect(() => parse(`--${name}=*notavalidlabel*`)).toThrow(
      `invalid argument "*notavalidlabel*" for "--${name}" flag: label key "*notavalidlabel*": `,
    );
  });

  it("one at a time, in the reference's order", () => {
    // Each pair is a flag that breaks a rule, and the value that mends it. Mended from the front, each failure is the next one.
    const steps: readonly (readonly [broken: string, mended: string, text: string])[] = [
      [`--agent-key=${missing}`, `--agent-key=${file}`, "error checking agent key"],
      [`--agent-cert=${missing}`, `--agent-cert=${file}`, "error checking agent cert"],
      [`--ca-cert=${missing}`, `--ca-cert=${file}`, "error checking agent CA cert"],
      ["--proxy-server-port=0", "--proxy-server-port=1", "proxy server port 0"],
      ["--health-server-port=0", "--health-server-port=1", "health server port 0"],
      ["--admin-server-port=0", "--admin-server-port=1", "admin server port 0"],
      ["--xfr-channel-size=0", "--xfr-channel-size=1", "channel size 0"],
      ["--enable-contention-profiling", "--enable-contention-profiling=false", "if --enable-contention-profiling"],
      ["--sync-interval=1h", "--sync-interval=1s", "sync interval 1h0m0s must be less than sync interval cap 10s"],
      [`--service-account-token-path=${missing}`, "--service-account-token-path=", "service account token path"],
      ["--agent-identifiers=x=y", "--agent-identifiers=", "unknown address type: x"],
      [`--kubeconfig=${missing}`, "--kubeconfig=", "checking KubeconfigPath"],
      ["--server-count-source=x", "--server-count-source=", "--server-count-source must be one of"],
      ["--proxy-server-host=", "--proxy-server-host=x", "--proxy-server-host must not be empty"],
    ];
    for (const [index, [, , text]] of steps.entries()) {
      const argv = steps.flatMap(([broken, mended], step) => (step < index ? [broken, mended] : [broken]));
      expect(() => parse(...argv)).toThrow(text);
    }
  });
});
