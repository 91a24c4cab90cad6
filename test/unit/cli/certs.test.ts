import { X509Certificate } from "node:crypto";
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { certsCommand } from "../../../cli/commands/certs.ts";
import { loadCaBundle, loadKeyPair } from "../../../shared/tls/credentials.ts";
import { certificateIdentity } from "../../../shared/tls/identity.ts";
import { handshake } from "../shared/tls/handshake.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "hawser-certs-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

/** Runs the command and keeps what it prints on either stream. */
async function certs(...argv: string[]): Promise<{ code: number; out: string; err: string }> {
  const printed = { out: "", err: "" };
  const stderr = vi.spyOn(process.stderr, "write").mockImplementation((text) => {
    printed.err += text;
    return true;
  });
  try {
    const code = await certsCommand(argv, (text) => {
      printed.out += text;
    });
    return { code, ...printed };
  } finally {
    stderr.mockRestore();
  }
}

const path = (name: string): string => join(folder, name);
const load = (name: string) => loadKeyPair({ certFile: path(`${name}.crt`), keyFile: path(`${name}.key`) });
const certificate = (name: string) => new X509Certificate(readFileSync(path(`${name}.crt`)));
const identity = (name: string) => certificateIdentity(certificate(name));
const contents = () => new Map(readdirSync(folder).map((name) => [name, readFileSync(path(name), "utf8")]));

const pairs = ["agent", "agent-ca", "client", "cluster", "frontend-ca", "server"];
const files = pairs.flatMap((name) => [`${name}.crt`, `${name}.key`]).sort();

describe("hawser certs", () => {
  it("writes two CAs and four pairs, and names the flag for each", async () => {
    const { code, out, err } = await certs("--out", folder);
    expect({ code, err }).toEqual({ code: 0, err: "" });
    expect(readdirSync(folder).sort()).toEqual(files);
    for (const use of [
      `proxy-server --server-ca-cert=${path("frontend-ca.crt")}`,
      `proxy-server --cluster-ca-cert=${path("agent-ca.crt")}`,
      `proxy-agent --ca-cert=${path("agent-ca.crt")}`,
      `proxy-server --server-cert=${path("server.crt")} --server-key=${path("server.key")}`,
      `proxy-server --cluster-cert=${path("cluster.crt")} --cluster-key=${path("cluster.key")}`,
      `proxy-agent --agent-cert=${path("agent.crt")} --agent-key=${path("agent.key")}`,
      `egress selector clientCert: ${path("client.crt")}, clientKey: ${path("client.key")}`,
    ]) {
      expect(out).toContain(use);
    }
  });

  it("lets the owner alone read keys, whatever the umask", async () => {
    const umask = process.umask(0);
    try {
      await certs("--out", folder);
    } finally {
      process.umask(umask);
    }
    const modes = readdirSync(folder).map((name) => [name, statSync(path(name)).mode & 0o777]);
    expect(Object.fromEntries(modes)).toEqual(
      Object.fromEntries(files.map((name) => [name, name.endsWith(".key") ? 0o600 : 0o644])),
    );
  });

  it.each([
    ["server", "client", "frontend-ca"],
    ["cluster", "agent", "agent-ca"],
  ])("issues what %s and %s need to trust each other", async (server, client, ca) => {
    await certs("--out", folder);
    const bundle = loadCaBundle(path(`${ca}.crt`));
    const ends = await handshake({
      server: { ...load(server), ca: bundle.ca, requestCert: true, rejectUnauthorized: true },
      client: { ...load(client), ca: bundle.ca, servername: "localhost" },
    });
    expect([ends.server.authorized, ends.client.authorized]).toEqual([true, true]);
  });

  it("does not let a frontend client pass as an agent", async () => {
    await certs("--out", folder);
    const agentCa = loadCaBundle(path("agent-ca.crt")).ca;
    const ends = await handshake({
      server: { ...load("cluster"), ca: agentCa, requestCert: true, rejectUnauthorized: false },
      client: { ...load("client"), ca: agentCa, servername: "localhost" },
    });
    expect(ends.server.authorized).toBe(false);
  });

  it("has names that suit a cluster unless told otherwise", async () => {
    await certs("--out", folder);
    for (const name of ["server", "cluster"]) {
      expect(identity(name)).toMatchObject({
        dnsNames: ["localhost", "kubernetes", "konnectivity-server.kube-system.svc.cluster.local"],
        ipAddresses: ["127.0.0.1", "::1"],
      });
    }
    expect([identity("agent").commonName, identity("client").commonName]).toEqual([
      "konnectivity-agent",
      "kube-apiserver",
    ]);
  });

  it("takes names, key type and validity", async () => {
    const names = ["--server-san", "proxy.test", "--server-san=10.1.2.3", "--agent-cn", "a", "--client-cn", "c"];
    const { code } = await certs("--out", folder, ...names, "--algorithm", "rsa", "--rsa-bits", "2048", "--days", "5");
    expect(code).toBe(0);
    expect(identity("cluster")).toMatchObject({ dnsNames: ["proxy.test"], ipAddresses: ["10.1.2.3"] });
    expect([identity("agent").commonName, identity("client").commonName]).toEqual(["a", "c"]);
    expect(certificate("server").publicKey.asymmetricKeyDetails?.modulusLength).toBe(2048);
    const daysFromNow = (name: string) => Math.round((Date.parse(certificate(name).validTo) - Date.now()) / 86_400_000);
    expect([daysFromNow("server"), daysFromNow("agent-ca")]).toEqual([5, 3650]);
  });

  it("touches nothing if one file exists, and lists what does", async () => {
    writeFileSync(path("cluster.key"), "precious");
    writeFileSync(path("agent.crt"), "precious too");
    const before = contents();
    const { code, out, err } = await certs("--out", folder);
    expect({ code, out }).toEqual({ code: 1, out: "" });
    expect(err).toBe(
      `hawser certs: nothing was written, because these exist: ${path("cluster.key")}, ${path("agent.crt")}; --force replaces them\n`,
    );
    expect(contents()).toEqual(before);
  });

  it("replaces all with --force, and leaves keys unreadable for others", async () => {
    await certs("--out", folder);
    const before = contents();
    chmodSync(path("server.key"), 0o644);
    expect((await certs("--out", folder, "--force")).code).toBe(0);
    const after = contents();
    expect([...after.keys()]).toEqual([...before.keys()]);
    for (const [name, content] of after) expect(content).not.toBe(before.get(name));
    expect(statSync(path("server.key")).mode & 0o777).toBe(0o600);
  });

  it("issues another agent pair from the CA that is there, and touches nothing else", async () => {
    await certs("--out", folder);
    const before = contents();
    const { code, out } = await certs("--out", folder, "--only", "agent", "--agent-id", "node-2");
    expect(code).toBe(0);
    expect(out).toContain(`--agent-cert=${path("agent-node-2.crt")}`);
    expect(out).not.toContain("-ca.");
    const after = contents();
    expect([...after].filter(([name]) => before.has(name))).toEqual([...before]);
    expect(after.size).toBe(before.size + 2);
    expect(identity("agent-node-2").commonName).toBe("node-2");
    expect(certificate("agent-node-2").verify(certificate("agent-ca").publicKey)).toBe(true);
    expect(load("agent-node-2").certificates).toHaveLength(1);
    expect((await certs("--out", folder, "--only", "agent", "--agent-id", "node-2")).err).toContain("these exist");
  });

  it("cannot issue one pair without the CA, nor with a CA whose key is another's", async () => {
    expect((await certs("--out", folder, "--only", "agent")).err).toContain("must both be there to sign with");
    await certs("--out", folder);
    writeFileSync(path("agent-ca.key"), readFileSync(path("frontend-ca.key")));
    const { code, err } = await certs("--out", folder, "--only", "agent", "--force");
    expect(code).toBe(1);
    expect(err).toContain("does not belong to the certificate");
  });

  it("makes the folder, and fails in one line where it cannot", async () => {
    expect((await certs("--out", path("a/b"))).code).toBe(0);
    expect(readdirSync(path("a/b"))).toHaveLength(files.length);
    writeFileSync(path("file"), "");
    const { code, err } = await certs("--out", path("file"));
    expect(code).toBe(1);
    expect(err).toMatch(/^hawser certs: cannot write certificates to .+\n$/);
  });

  it("leaves no passing file behind when a name cannot be taken", async () => {
    await certs("--out", folder);
    rmSync(path("client.key"));
    mkdirSync(path("client.key"));
    expect((await certs("--out", folder, "--force")).code).toBe(1);
    expect(readdirSync(folder).filter((name) => name.endsWith(".tmp"))).toEqual([]);
  });

  it.each([
    [["--days", "0"], "--days must be a whole number"],
    [["--days", "x"], "--days must be a whole number"],
    [["--only", "ca"], 'Argument: only, Given: "ca"'],
    [["--algorithm", "ed25519"], "Argument: algorithm"],
    [["--rsa-bits", "1024"], "Argument: rsa-bits"],
    [["--colour"], "Unknown argument: colour"],
    [["extra"], "hawser certs takes options only"],
    [["--out", "a", "--out", "b"], "--out is given more than once"],
    [["--server-san", "a b"], '"a b" cannot stand in a certificate'],
    [["--agent-id", "../x"], "cannot stand in a file name"],
    [["--agent-cn", ""], "cannot be a common name"],
  ])("refuses %j in one line", async (argv, text) => {
    const { code, out, err } = await certs("--out", folder, ...argv);
    expect({ code, out }).toEqual({ code: 1, out: "" });
    expect(err).toMatch(/^hawser certs: [^\n]+\n$/);
    expect(err).toContain(text);
    expect(readdirSync(folder)).toEqual([]);
  });

  it("prints its help, and writes nothing then", async () => {
    const { code, out, err } = await certs("--out", folder, "--help");
    expect({ code, err }).toEqual({ code: 0, err: "" });
    for (const option of ["--out", "--server-san", "--agent-id", "--only", "--force"]) expect(out).toContain(option);
    expect(readdirSync(folder)).toEqual([]);
  });
});
