import type { FrontendKind, Implementation } from "../support/processes.ts";

/** How much a cell is put through. */
export interface Sizes {
  /** Bytes of each transfer, shared by its connections. */
  readonly transferBytes: number;
  readonly heldConnections: number;
  readonly dials: number;
  readonly banners: number;
}

/** One combination of the matrix. */
export interface Cell {
  readonly server: Implementation;
  readonly agent: Implementation;
  readonly frontend: FrontendKind;
  readonly sizes: Sizes;
}

export const fullSizes: Sizes = { transferBytes: 1024 ** 3, heldConnections: 1_000, dials: 10_000, banners: 300 };
export const smallSizes: Sizes = { transferBytes: 64 * 1024 ** 2, heldConnections: 200, dials: 1_500, banners: 100 };

export const nameOf = ({ server, agent, frontend }: Omit<Cell, "sizes">) =>
  `${server} server, ${agent} agent, ${frontend.protocol}/${frontend.transport}`;

/**
 * Whether the run includes a cell: HAWSER_INTEROP_ONLY, if set, holds comma-separated parts of cell names.
 * A cell left out shows as skipped.
 */
export function isWanted(cellName: string): boolean {
  const only = process.env["HAWSER_INTEROP_ONLY"] ?? "";
  return only.split(",").some((part) => cellName.includes(part.trim()));
}
