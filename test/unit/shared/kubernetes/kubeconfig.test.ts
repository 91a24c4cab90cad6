import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { UsageError } from "../../../../shared/errors.ts";
import type { ClusterAccess } from "../../../../shared/kubernetes/cluster-access.ts";
import { kubeconfigAccess } from "../../../../shared/kubernetes/kubeconfig.ts";
import { silentLog } from "../../../../shared/log.ts";
import { issueCa, issueCertificate } from "../../../../shared/tls/issue.ts";
import { FakeClock } from "../../../support/fake-clock.ts";
import { LogLines } from "../../../support/log-lines.ts";

const folder = mkdtempSync(join(tmpdir(), "hw-kubeconfig-"));
const file = join(folder, "config");
afterAll(() => rmSync(folder, { recursive: true }));

const validityDays = 1;
const ca = issueCa({ commonName: "cluster CA", validityDays });
const pair = issueCertificate(ca, { commonName: "admin", validityDays, usages: ["client"], names: [] });
const other = issueCertificate(ca, { commonName: "other", validityDays, usages: ["client"], names: [] });
const base64 = (text: string) => Buffer.from(text).toString("base64");

const clock = new FakeClock();
async function read(text: string, log = silentLog): Promise<ClusterAccess> {
  writeFileSync(file, text);
  return kubeconfigAccess({ clock, log }, file);
}

/** A kubeconfig of one cluster and one user with these fields, as lines of YAML. */
const yaml = (cluster: readonly string[], user: readonly string[]) => `
apiVersion: v1
kind: Config
preferences: {}
current-context: here
contexts:
- name: elsewhere
  context: {cluster: b, user: b}
- name: here
  context:
    cluster: main
    user: admin
    namespace: default
clusters:
- name: main
  cluster:
${cluster.map((line) => `    ${line}`).join("\n")}
users:
- name: admin
  user:
${["# nothing else", ...user].map((line) => `    ${line}`).join("\n")}
`;
const server = "server: https://10.0.0.1:6443";

describe("a kubeconfig", () => {
  it("as kubeadm writes it", async () => {
    const access = await read(
      yaml(
        [`certificate-authority-data: ${base64(ca.cert)}`, server],
        [`client-certificate-data: ${base64(pair.cert)}`, `client-key-data: ${base64(pair.key)}`],
      ),
    );
    expect(access.url.href).toBe("https://10.0.0.1:6443/");
    expect(access.tls).toEqual({ ca: ca.cert, verify: true, serverName: undefined, keyPair: pair });
    expect(access.token()).toBeUndefined();
  });

  it("with a static token and without a check of the server", async () => {
    const log = new LogLines();
    const access = await read(yaml([server, "insecure-skip-tls-verify: true"], ["token: abc"]), log.log);
    expect(log.of("warn")).toEqual([expect.stringContaining("insecure-skip-tls-verify")]);
    expect(access.tls).toEqual({ ca: undefined, verify: false, serverName: undefined, keyPair: undefined });
    expect(access.token()).toBe("abc");
  });

  it("with files, counted from its own folder, and a token file that comes before a token", async () => {
    mkdirSync(join(folder, "pki"));
    for (const [name, text] of Object.entries({ "ca.crt": ca.cert, "a.crt": pair.cert, "a.key": pair.key })) {
      writeFileSync(join(folder, "pki", name), text);
    }
    writeFileSync(join(folder, "token"), "from-file\n");
    const access = await read(
      yaml(
        [server, "certificate-authority: pki/ca.crt", "tls-server-name: kubernetes"],
        [
          `client-certificate: ${join(folder, "pki", "a.crt")}`,
          "client-key: pki/a.key",
          "tokenFile: token",
          "token: static",
        ],
      ),
    );
    expect(access.tls).toEqual({ ca: ca.cert, verify: true, serverName: "kubernetes", keyPair: pair });
    expect(access.token()).toBe("from-file");
    writeFileSync(join(folder, "token"), "renewed");
    clock.advance(60_000);
    expect(access.token()).toBe("renewed");
  });

  it("whose data come before its files, and whose context has no user", async () => {
    const access = await read(
      yaml([server, "certificate-authority: nowhere", `certificate-authority-data: ${base64(ca.cert)}`], []).replace(
        "user: admin",
        "",
      ),
    );
    expect(access.tls).toMatchObject({ ca: ca.cert, keyPair: undefined });
    expect(access.token()).toBeUndefined();
  });
});

describe("a kubeconfig is refused in one sentence that names file and field", () => {
  const withUser = (...lines: string[]) => yaml([server], lines);
  const withCluster = (...lines: string[]) => yaml(lines, ["token: abc"]);
  const good = withUser("token: abc");
  const remedy = "; give the user a token, a tokenFile, or a client-certificate and client-key";
  const plugin = `names a credential plugin, and this program runs none${remedy}`;

  it.each([
    ["", "it must be a mapping"],
    ["- a", "it must be a mapping"],
    ["{}", "current-context is not set"],
    [
      good.replace("current-context: here", "current-context: there"),
      'contexts has no "there"; it has elsewhere, here',
    ],
    [good.replace("current-context: here", "current-context: [1]"), "current-context must be text; put it in quotes"],
    [good.replace("current-context: here", "current-context: elsewhere"), 'clusters has no "b"; it has main'],
    [
      good.replace("cluster: main", "namespace: x").replace("namespace: default", ""),
      "contexts[here].context.cluster is not set",
    ],
    [good.replace("user: admin", "user: nobody"), 'users has no "nobody"; it has admin'],
    [good.replace(/users:[\s\S]*/, "users: nobody"), "users must be a list"],
    [good.replace(/users:[\s\S]*/, ""), 'users has no "admin"; it has none'],
    [good.replace(/users:[\s\S]*/, "users: [3]"), "users[0] must be a mapping"],
    [withCluster("x: y"), "clusters[main].cluster.server is not set"],
    [withCluster("server: 10.0.0.1"), "clusters[main].cluster.server is no URL"],
    [
      withCluster("server: http://10.0.0.1"),
      "clusters[main].cluster.server must begin with https://, since tokens travel over it",
    ],
    [withCluster("server: https://a:b@c"), "clusters[main].cluster.server must be an address without user and query"],
    [
      withCluster(server, "proxy-url: http://p"),
      "clusters[main].cluster.proxy-url is not read; set HTTPS_PROXY in the environment instead",
    ],
    [
      withCluster(server, "insecure-skip-tls-verify: yes please"),
      "clusters[main].cluster.insecure-skip-tls-verify must be true or false",
    ],
    [
      withCluster(server, "insecure-skip-tls-verify: true", `certificate-authority-data: ${base64(ca.cert)}`),
      "clusters[main].cluster.insecure-skip-tls-verify cannot go together with certificate-authority-data",
    ],
    [
      withCluster(server, "certificate-authority-data: '%%%'"),
      "clusters[main].cluster.certificate-authority-data is not base64",
    ],
    [
      withCluster(server, `certificate-authority-data: ${base64("no")}`),
      "clusters[main].cluster.certificate-authority-data holds no PEM certificate",
    ],
    [withUser("token: 12345"), "users[admin].user.token must be text; put it in quotes"],
    [withUser('token: "a\\nb"'), "users[admin].user.token holds what no header can carry"],
    [withUser("exec: {command: aws}"), `users[admin].user.exec ${plugin}`],
    [withUser("auth-provider: {name: gcp}"), `users[admin].user.auth-provider ${plugin}`],
    [withUser("as: root"), `users[admin].user.as asks for impersonation, which this program does not do${remedy}`],
    [
      withUser(`client-certificate-data: ${base64(pair.cert)}`),
      "users[admin].user.client-key is not set, but client-certificate is",
    ],
    [
      withUser(`client-key-data: ${base64(pair.key)}`),
      "users[admin].user.client-certificate is not set, but client-key is",
    ],
    [
      withUser(`client-certificate-data: ${base64(pair.cert)}`, `client-key-data: ${base64(other.key)}`),
      "users[admin].user.client-key-data does not belong to client-certificate-data",
    ],
    [
      withUser(`client-certificate-data: ${base64(pair.cert)}`, `client-key-data: ${base64("no")}`),
      "users[admin].user.client-key-data holds no PEM private key that is not encrypted",
    ],
  ])("%#", async (text, problem) => {
    await expect(read(text)).rejects.toThrow(new UsageError(`kubeconfig ${file}: ${problem}`));
  });

  it.each([
    [
      withCluster(server, "certificate-authority: none.crt"),
      /clusters\[main\]\.cluster\.certificate-authority cannot be read: ENOENT/,
    ],
    [
      withUser("tokenFile: none"),
      /users\[admin\]\.user\.tokenFile is no good: the token file .*none cannot be read: ENOENT/,
    ],
    [
      withCluster(
        server,
        `certificate-authority-data: ${base64("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")}`,
      ),
      /certificate-authority-data holds a certificate that does not parse: /,
    ],
  ])("with the cause: %#", async (text, pattern) => {
    await expect(read(text)).rejects.toThrow(UsageError);
    await expect(read(text)).rejects.toThrow(pattern);
  });

  it("if it is not YAML, without quoting it", async () => {
    await expect(read("users:\n- token: s3cret\n  - key: s3cret\n")).rejects.toThrow(
      new UsageError(`kubeconfig ${file}: it is not YAML, at line 3, column 1`),
    );
    await expect(read("a: *missing")).rejects.toThrow(new UsageError(`kubeconfig ${file}: it is not YAML`));
  });

  it("if it cannot be read", async () => {
    const missing = kubeconfigAccess({ clock, log: silentLog }, join(folder, "missing"));
    await expect(missing).rejects.toThrow(/^kubeconfig .*missing: cannot be read: ENOENT/);
  });
});
