/** From each state, those that may follow it. */
export type Moves<Name extends string> = Readonly<Record<Name, readonly Name[]>>;

/** A move that the table does not have is a defect, and is thrown as one. */
export function requireMove<Name extends string>(moves: Moves<Name>, from: Name, to: Name): void {
  if (!moves[from].includes(to)) throw new Error(`illegal move from ${from} to ${to}`);
}

/** A link, at either end; only the server has agents that do not answer. */
export const linkMoves = {
  ready: ["unresponsive", "draining", "closed"],
  unresponsive: ["ready", "draining", "closed"],
  draining: ["closed"],
  closed: [],
} as const satisfies Moves<"ready" | "unresponsive" | "draining" | "closed">;
export type LinkState = keyof typeof linkMoves;
