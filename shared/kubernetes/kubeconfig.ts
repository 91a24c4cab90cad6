import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import type { Clock } from "../clock.ts";
import { UsageError } from "../errors.ts";
import type { Log } from "../log.ts";
import { pemBlocks } from "../tls/pem.ts";
import type { ClusterAccess, ClusterTls } from "./cluster-access.ts";
import { KubeconfigFields } from "./kubeconfig-fields.ts";
import { TokenFile } from "./token-file.ts";

interface Deps {
  readonly clock: Clock;
  readonly log: Log;
}

/** What would be passed over in silence otherwise, and the call made as somebody else. */
const refusedUserFields: Readonly<Record<string, string>> = {
  exec: "names a credential plugin, and this program runs none",
  "auth-provider": "names a credential plugin, and this program runs none",
  username: "is for basic authentication, which kube-apiserver does not have any more",
  password: "is for basic authentication, which kube-apiserver does not have any more",
  as: "asks for impersonation, which this program does not do",
  "as-uid": "asks for impersonation, which this program does not do",
  "as-groups": "asks for impersonation, which this program does not do",
  "as-user-extra": "asks for impersonation, which this program does not do",
};
const remedy = "give the user a token, a tokenFile, or a client-certificate and client-key";

/**
 * Reads a kubeconfig's current context. Certificates and keys are read once, a `tokenFile` again each minute.
 * Rejects with a UsageError of one sentence that names the file and the field.
 */
export async function kubeconfigAccess(deps: Deps, file: string): Promise<ClusterAccess> {
  const config = new KubeconfigFields(file, "", await parseYaml(file));
  const contextName = config.text("current-context") ?? config.fail("current-context", "is not set");
  const context = config.entry("contexts", "context", contextName);
  const clusterName = context.text("cluster") ?? context.fail("cluster", "is not set");
  const cluster = config.entry("clusters", "cluster", clusterName);
  const userName = context.text("user");
  const user = userName === undefined ? undefined : config.entry("users", "user", userName);
  const folder = dirname(file);
  const access = {
    url: serverUrl(cluster),
    tls: { ...clusterTls(cluster, folder), keyPair: user === undefined ? undefined : keyPair(user, folder) },
    token: user === undefined ? () => undefined : tokenSource(deps, user, folder),
  };
  if (!access.tls.verify) {
    deps.log.warn(
      { kubeconfig: file },
      "insecure-skip-tls-verify: whoever stands between this process and kube-apiserver can answer in its place",
    );
  }
  return access;
}

/** The parser is loaded only where there is a kubeconfig: it costs some 10 MiB, which a pod's own account does not need. */
async function parseYaml(file: string): Promise<unknown> {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (cause) {
    throw new UsageError(`kubeconfig ${file}: cannot be read: ${(cause as Error).message}`, { cause });
  }
  const { parse, YAMLParseError } = await import("yaml");
  try {
    return parse(text, { logLevel: "error" });
  } catch (error) {
    // The parser's own words may quote the file, which holds keys.
    const [place] = (error instanceof YAMLParseError && error.linePos) || [];
    const where = place === undefined ? "" : `, at line ${place.line}, column ${place.col}`;
    throw new UsageError(`kubeconfig ${file}: it is not YAML${where}`);
  }
}

function serverUrl(cluster: KubeconfigFields): URL {
  const text = cluster.text("server") ?? cluster.fail("server", "is not set");
  if (!URL.canParse(text)) cluster.fail("server", "is no URL");
  const url = new URL(text);
  if (url.protocol !== "https:") cluster.fail("server", "must begin with https://, since tokens travel over it");
  if (url.username !== "" || url.search !== "") cluster.fail("server", "must be an address without user and query");
  return url;
}

function clusterTls(cluster: KubeconfigFields, folder: string): Omit<ClusterTls, "keyPair"> {
  if (cluster.has("proxy-url")) cluster.fail("proxy-url", "is not read; set HTTPS_PROXY in the environment instead");
  const verify = !cluster.flag("insecure-skip-tls-verify");
  const authorities = material(cluster, "certificate-authority", folder);
  if (authorities !== undefined && !verify) {
    cluster.fail("insecure-skip-tls-verify", `cannot go together with ${authorities.field}`);
  }
  return {
    ca: authorities === undefined ? undefined : certificatesOf(cluster, authorities),
    verify,
    serverName: cluster.text("tls-server-name"),
  };
}

function keyPair(user: KubeconfigFields, folder: string): ClusterTls["keyPair"] {
  const certificate = material(user, "client-certificate", folder);
  const key = material(user, "client-key", folder);
  if (certificate === undefined && key === undefined) return undefined;
  if (certificate === undefined) user.fail("client-certificate", "is not set, but client-key is");
  if (key === undefined) user.fail("client-key", "is not set, but client-certificate is");
  const cert = certificatesOf(user, certificate);
  let belongs: boolean;
  try {
    belongs = new X509Certificate(cert).checkPrivateKey(createPrivateKey(key.pem));
  } catch {
    user.fail(key.field, "holds no PEM private key that is not encrypted");
  }
  if (!belongs) user.fail(key.field, `does not belong to ${certificate.field}`);
  return { cert, key: key.pem };
}

function tokenSource(deps: Deps, user: KubeconfigFields, folder: string): () => string | undefined {
  for (const [field, problem] of Object.entries(refusedUserFields)) {
    if (user.has(field)) user.fail(field, `${problem}; ${remedy}`);
  }
  // A tokenFile comes before a token, as it does for the reference.
  const path = user.text("tokenFile");
  if (path !== undefined) {
    const file = named(user, "tokenFile", () => new TokenFile(deps, resolve(folder, path)));
    return () => file.current;
  }
  const token = user.text("token");
  if (token !== undefined && !/^[\x21-\x7e]+$/.test(token)) user.fail("token", "holds what no header can carry");
  return () => token;
}

/** Puts the field's name before what `read` complains of. */
function named<Result>(user: KubeconfigFields, field: string, read: () => Result): Result {
  try {
    return read();
  } catch (error) {
    if (error instanceof UsageError) user.fail(field, `is no good: ${error.message}`);
    throw error;
  }
}

interface Material {
  readonly pem: string;
  /** The field that it came from, for complaints. */
  readonly field: string;
}

/** What `name-data` holds in base64, else what stands in the file that `name` names. */
function material(fields: KubeconfigFields, name: string, folder: string): Material | undefined {
  const data = fields.text(`${name}-data`)?.replace(/\s/g, "");
  if (data !== undefined) {
    if (!/^[A-Za-z0-9+/]+={0,2}$/.test(data)) fields.fail(`${name}-data`, "is not base64");
    return { pem: Buffer.from(data, "base64").toString("latin1"), field: `${name}-data` };
  }
  const path = fields.text(name);
  if (path === undefined) return undefined;
  try {
    return { pem: readFileSync(resolve(folder, path), "latin1"), field: name };
  } catch (error) {
    return fields.fail(name, `cannot be read: ${(error as Error).message}`);
  }
}

/** Node takes a text without certificates for an empty list, and then trusts nobody without saying why. */
function certificatesOf(fields: KubeconfigFields, { pem, field }: Material): string {
  const blocks = pemBlocks(pem).filter(({ label }) => label === "CERTIFICATE");
  if (blocks.length === 0) fields.fail(field, "holds no PEM certificate");
  for (const { der } of blocks) {
    try {
      new X509Certificate(der);
    } catch (error) {
      fields.fail(field, `holds a certificate that does not parse: ${(error as Error).message}`);
    }
  }
  return pem;
}
