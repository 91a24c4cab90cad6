import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { link, mkdir, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { UsageError } from "../errors.ts";
import { loadKeyPair } from "./credentials.ts";
import { type IssuedPair, issueCa, issueCertificate, type KeyAlgorithm } from "./issue.ts";

/** The two CAs know nothing of each other: whoever may ask the server for connections must not pass as an agent. */
export type CaName = "frontend-ca" | "agent-ca";
/** `server` and `cluster` serve frontends and agents; `client` and `agent` are who they serve. */
export type EndName = "server" | "cluster" | "client" | "agent";

export const issuerOf = {
  server: "frontend-ca",
  client: "frontend-ca",
  cluster: "agent-ca",
  agent: "agent-ca",
} as const satisfies Record<EndName, CaName>;

export interface CertificateSetOptions {
  /** Made if it is missing. */
  readonly folder: string;
  /** This pair alone, from the CA that is in the folder; otherwise both CAs and all four pairs, anew. */
  readonly only?: EndName;
  /** DNS names, IP addresses and URIs under which the server is reached, on both of its ports. */
  readonly serverNames: readonly string[];
  readonly clientCommonName: string;
  readonly agentCommonName: string;
  /** Tells agents' files apart: `agent-<id>.crt` instead of `agent.crt`. Letters, digits, `.`, `_`, `-`. */
  readonly agentId?: string;
  readonly algorithm: KeyAlgorithm;
  readonly validityDays: number;
  /** Whether files that exist may be replaced. */
  readonly force: boolean;
}

export interface WrittenPair {
  readonly name: CaName | EndName;
  readonly certFile: string;
  readonly keyFile: string;
}

/** CAs outlive what they sign, so that renewing a pair does not mean telling everybody of a new CA. */
const caValidityDays = 3650;

/**
 * Issues what a server and its agents need and writes it: certificates, and keys that their owner alone can read.
 * Without `force` nothing is written if any of the files exists. Each file appears whole or not at all.
 * Throws a UsageError that lists the files in the way, names the CA that is missing, or says why writing failed.
 */
export async function writeCertificateSet(options: CertificateSetOptions): Promise<readonly WrittenPair[]> {
  const ends = options.only === undefined ? endNames : [options.only];
  const cas = options.only === undefined ? caNames : [];
  const targets = [...cas, ...ends].map((name) => targetOf(name, options));
  if (!options.force) refuseExisting(targets);
  const authorities = options.only === undefined ? newAuthorities(options) : storedAuthority(options.only, options);
  const issued = targets.map((target) => ({
    target,
    pair: isCaName(target.name)
      ? authorityNamed(authorities, target.name)
      : issueEnd(target.name, authorityNamed(authorities, issuerOf[target.name]), options),
  }));
  await writeAll(
    options,
    issued.flatMap(({ target, pair }) => [
      { path: target.certFile, content: pair.cert, mode: 0o644 },
      { path: target.keyFile, content: pair.key, mode: 0o600 },
    ]),
  );
  return targets;
}

const caNames: readonly CaName[] = ["frontend-ca", "agent-ca"];
export const endNames: readonly EndName[] = ["server", "client", "cluster", "agent"];
const isCaName = (name: CaName | EndName): name is CaName => name === "frontend-ca" || name === "agent-ca";

function targetOf(name: CaName | EndName, { folder, agentId }: CertificateSetOptions): WrittenPair {
  if (agentId !== undefined && !/^[A-Za-z0-9_][A-Za-z0-9._-]{0,199}$/.test(agentId)) {
    throw new UsageError(`"${agentId}" cannot stand in a file name; use letters, digits, ".", "_" and "-"`);
  }
  const base = join(folder, name === "agent" && agentId !== undefined ? `agent-${agentId}` : name);
  return { name, certFile: `${base}.crt`, keyFile: `${base}.key` };
}

function refuseExisting(targets: readonly WrittenPair[]): void {
  const existing = targets.flatMap(({ certFile, keyFile }) => [certFile, keyFile]).filter((path) => existsSync(path));
  if (existing.length > 0) {
    throw new UsageError(`nothing was written, because these exist: ${existing.join(", ")}; --force replaces them`);
  }
}

type Authorities = ReadonlyMap<CaName, IssuedPair>;

function newAuthorities({ algorithm, validityDays }: CertificateSetOptions): Authorities {
  const days = Math.max(caValidityDays, validityDays);
  return new Map(
    caNames.map((name) => [name, issueCa({ commonName: `hawser ${name}`, algorithm, validityDays: days })]),
  );
}

function storedAuthority(end: EndName, options: CertificateSetOptions): Authorities {
  const name = issuerOf[end];
  const { certFile, keyFile } = targetOf(name, options);
  if (!existsSync(certFile) || !existsSync(keyFile)) {
    throw new UsageError(`${certFile} and ${keyFile} must both be there to sign with; without --only they are made`);
  }
  const { cert, key } = loadKeyPair({ certFile, keyFile });
  return new Map([[name, { cert: cert.toString(), key: key.toString() }]]);
}

function authorityNamed(authorities: Authorities, name: CaName): IssuedPair {
  const authority = authorities.get(name);
  if (authority === undefined) throw new TypeError(`no authority ${name} at hand`);
  return authority;
}

function issueEnd(name: EndName, ca: IssuedPair, options: CertificateSetOptions): IssuedPair {
  const { algorithm, validityDays } = options;
  const server = { usages: ["server"], names: options.serverNames } as const;
  const client = { usages: ["client"], names: [] } as const;
  const subjects = {
    server: { commonName: "hawser server", ...server },
    cluster: { commonName: "hawser cluster", ...server },
    client: { commonName: options.clientCommonName, ...client },
    agent: { commonName: options.agentCommonName, ...client },
  } as const satisfies Record<EndName, object>;
  return issueCertificate(ca, { ...subjects[name], algorithm, validityDays });
}

interface NewFile {
  readonly path: string;
  readonly content: string;
  readonly mode: number;
}

async function writeAll({ folder, force }: CertificateSetOptions, files: readonly NewFile[]): Promise<void> {
  try {
    await mkdir(folder, { recursive: true });
    // A link fails where a file has appeared in the meantime; a rename replaces it.
    await placeAll(files, force ? rename : link);
  } catch (error) {
    throw new UsageError(`cannot write certificates to ${folder}: ${(error as Error).message}`, { cause: error });
  }
}

/** First all contents under passing names, then all names: a full disk leaves no half file and no stray key. */
async function placeAll(
  files: readonly NewFile[],
  place: (passingPath: string, path: string) => Promise<void>,
): Promise<void> {
  const suffix = `.${randomBytes(6).toString("hex")}.tmp`;
  const passing = files.map((file) => ({ ...file, passingPath: file.path + suffix }));
  try {
    for (const { passingPath, content, mode } of passing) {
      await writeFile(passingPath, content, { mode, flag: "wx" });
    }
    for (const { passingPath, path } of passing) await place(passingPath, path);
  } finally {
    await Promise.all(passing.map(({ passingPath }) => rm(passingPath, { force: true })));
  }
}
