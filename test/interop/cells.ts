import { type FrontendKind, type Implementation, type Reference, referenceVersions } from "../support/processes.ts";
import { apiserverVersions, type ClientProgram } from "./client-programs.ts";

/** How much a cell of the full suite is put through. */
export interface Sizes {
  /** Bytes of each transfer, shared by its connections. */
  readonly transferBytes: number;
  readonly heldConnections: number;
  readonly dials: number;
  readonly banners: number;
}

/** Who stands where: one combination of the matrix. */
export interface Pairing {
  readonly server: Implementation;
  readonly agent: Implementation;
  readonly frontend: FrontendKind;
  /** The usual one if left out. */
  readonly client?: ClientProgram;
}

/** A pairing that goes through the full suite. */
export interface Cell extends Pairing {
  readonly sizes: Sizes;
}

const full: Sizes = { transferBytes: 256 * 1024 ** 2, heldConnections: 1_000, dials: 3_000, banners: 300 };
const small: Sizes = { transferBytes: 64 * 1024 ** 2, heldConnections: 200, dials: 1_500, banners: 100 };

const hawser = { server: "hawser", agent: "hawser" } as const;
const reference = { server: "reference-v0.36.0", agent: "reference-v0.36.0" } as const;
const grpcUds: FrontendKind = { protocol: "grpc", transport: "uds" };
const grpcTcp: FrontendKind = { protocol: "grpc", transport: "tcp" };
const connectUds: FrontendKind = { protocol: "connect", transport: "uds" };
const connectTcp: FrontendKind = { protocol: "connect", transport: "tcp" };
const frontends = [grpcUds, grpcTcp, connectUds, connectTcp];
/** Those that kube-apiserver can reach. */
const apiserverFrontends = [grpcUds, connectUds, connectTcp];

export const hawserCells: readonly Cell[] = [
  { ...hawser, frontend: grpcUds, sizes: full },
  { ...hawser, frontend: connectUds, sizes: full },
  { ...hawser, frontend: grpcTcp, sizes: small },
  { ...hawser, frontend: connectTcp, sizes: small },
];

/** Either half of a running installation may be replaced first. */
export const mixedCells: readonly Cell[] = [
  { server: hawser.server, agent: reference.agent, frontend: grpcUds, sizes: small },
  { server: reference.server, agent: hawser.agent, frontend: grpcUds, sizes: small },
];

/** The control: what the reference itself does on this machine with this client. */
export const referenceCells: readonly Cell[] = [{ ...reference, frontend: grpcUds, sizes: small }];

export const curlPairings: readonly Pairing[] = [hawser, reference].flatMap((pair) => [
  { ...pair, frontend: connectTcp },
  { ...pair, frontend: connectUds },
]);

const references = referenceVersions.map((version): Reference => `reference-${version}`);

/**
 * Either half of an installation of any version may be replaced; each version with itself is the control. The newest first,
 * as run.mjs builds them.
 */
export const matrix: readonly Pairing[] = [
  ...frontends.map((frontend) => ({ ...hawser, frontend })),
  ...references.toReversed().flatMap((version) =>
    frontends.flatMap((frontend) => [
      { server: hawser.server, agent: version, frontend },
      { server: version, agent: hawser.agent, frontend },
      { server: version, agent: version, frontend },
    ]),
  ),
];

/** Every version of kube-apiserver's own client before Hawser, and the newest before the newest reference as the control. */
export const apiserverCells: readonly Pairing[] = apiserverFrontends.flatMap((frontend) => [
  ...apiserverVersions.map((version) => ({ ...hawser, frontend, client: `apiserver-${version}` as const })),
  { ...reference, frontend, client: "apiserver-v0.36.0" as const },
]);

export const reusableCells: readonly Pairing[] = [hawser, reference].map((pair) => ({
  ...pair,
  frontend: grpcUds,
  client: "konnectivity-client-v0.37.0",
}));

export const everyPairing: readonly Pairing[] = [
  ...matrix,
  ...apiserverCells,
  ...reusableCells,
  ...hawserCells,
  ...mixedCells,
  ...referenceCells,
  ...curlPairings,
];

export function nameOf({ server, agent, frontend, client }: Pairing): string {
  const name = `${server} server, ${agent} agent, ${frontend.protocol}/${frontend.transport}`;
  return client === undefined ? name : `${name}, ${client}`;
}

/**
 * Whether the run includes a pairing: HAWSER_INTEROP_ONLY, if set, holds parts of names, separated by semicolons.
 * Those left out show as skipped. Throws on a part that names nothing, so that no run is empty by a slip.
 */
export function isWanted(pairing: Pairing): boolean {
  const { HAWSER_INTEROP_ONLY: only = "" } = process.env;
  const parts = only.split(";").map((part) => part.trim());
  const names = [...new Set(everyPairing.map(nameOf))];
  const unknown = parts.find((part) => !names.some((name) => name.includes(part)));
  if (unknown !== undefined) {
    throw new Error(`HAWSER_INTEROP_ONLY: "${unknown}" is part of no name; there are:\n${names.join("\n")}`);
  }
  return parts.some((part) => nameOf(pairing).includes(part));
}
