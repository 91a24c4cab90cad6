import type { FrontendKind, Implementation } from "../support/processes.ts";

/** How much a cell is put through. */
export interface Sizes {
  /** Bytes of each transfer, shared by its connections. */
  readonly transferBytes: number;
  readonly heldConnections: number;
  readonly dials: number;
  readonly banners: number;
}

/** Who stands where. */
export interface Pairing {
  readonly server: Implementation;
  readonly agent: Implementation;
  readonly frontend: FrontendKind;
}

/** One combination of the matrix. */
export interface Cell extends Pairing {
  readonly sizes: Sizes;
  /** Why banners may be lost here; without a reason none may. */
  readonly losesBanners?: string;
}

const full: Sizes = { transferBytes: 1024 ** 3, heldConnections: 1_000, dials: 10_000, banners: 300 };
const medium: Sizes = { transferBytes: 256 * 1024 ** 2, heldConnections: 1_000, dials: 3_000, banners: 300 };
const small: Sizes = { transferBytes: 64 * 1024 ** 2, heldConnections: 200, dials: 1_500, banners: 100 };

const hawser = { server: "hawser", agent: "hawser" } as const;
const reference = { server: "reference-v0.36.0", agent: "reference-v0.36.0" } as const;
const grpcUds: FrontendKind = { protocol: "grpc", transport: "uds" };
const grpcTcp: FrontendKind = { protocol: "grpc", transport: "tcp" };
const connectUds: FrontendKind = { protocol: "connect", transport: "uds" };
const connectTcp: FrontendKind = { protocol: "connect", transport: "tcp" };

// The Go client's own race: data that comes close behind the DIAL_RSP it answers with CLOSE_REQ, because the dialing
// goroutine has not registered the connection yet. Source: KONNECTIVITY.md 9.3, C1
const clientRace = "a reference server sends the first data together with the dial's answer";

export const hawserCells: readonly Cell[] = [
  { ...hawser, frontend: grpcUds, sizes: full },
  { ...hawser, frontend: connectUds, sizes: full },
  { ...hawser, frontend: grpcTcp, sizes: medium },
  { ...hawser, frontend: connectTcp, sizes: medium },
];

/** Either half of a running installation may be replaced first. */
export const mixedCells: readonly Cell[] = [
  { server: hawser.server, agent: reference.agent, frontend: grpcUds, sizes: small },
  { server: reference.server, agent: hawser.agent, frontend: grpcUds, sizes: small, losesBanners: clientRace },
];

/** The control: what the reference itself does on this machine with this client. */
export const referenceCells: readonly Cell[] = [
  { ...reference, frontend: grpcUds, sizes: small, losesBanners: clientRace },
];

export const curlPairings: readonly Pairing[] = [hawser, reference].flatMap((pair) => [
  { ...pair, frontend: connectTcp },
  { ...pair, frontend: connectUds },
]);

export const nameOf = ({ server, agent, frontend }: Pairing) =>
  `${server} server, ${agent} agent, ${frontend.protocol}/${frontend.transport}`;

/**
 * Whether the run includes a pairing: HAWSER_INTEROP_ONLY, if set, holds parts of names, separated by semicolons.
 * Those left out show as skipped. Throws on a part that names nothing, so that no run is empty by a slip.
 */
export function isWanted(pairing: Pairing): boolean {
  const { HAWSER_INTEROP_ONLY: only = "" } = process.env;
  const parts = only.split(";").map((part) => part.trim());
  const names = [...hawserCells, ...mixedCells, ...referenceCells, ...curlPairings].map(nameOf);
  const unknown = parts.find((part) => !names.some((name) => name.includes(part)));
  if (unknown !== undefined) {
    throw new Error(`HAWSER_INTEROP_ONLY: "${unknown}" is part of no name; there are:\n${names.join("\n")}`);
  }
  return parts.some((part) => nameOf(pairing).includes(part));
}
