import type { LaneState } from "../../shared/tunnel/lane-state.ts";

/** Where a lane stands at the end under test: a lane that has carried something is as idle as a new one, or should be. */
export type LaneStand = LaneState | "idle again";

/** A lane that a raw peer has brought to stand somewhere, and what is to become of what is joined by it. */
export interface HeldLane<Lane> {
  readonly lane: Lane;
  /** Whether a connection that counts is lost with it. */
  readonly carries: boolean;
  /** Resolves when the lane was of use to the end of this turn, or for one more. */
  goesOn(): Promise<void>;
  /** Resolves when whoever is joined by it has learned that it is lost. */
  lost(): Promise<void>;
}

/** One way to get a lane there for each: a new state without one does not compile. */
export type Stands<Hold> = Readonly<Record<LaneStand, Hold>>;

/** As cases of `test.each`. */
export function eachStand<Hold>(stands: Stands<Hold>): readonly { readonly stand: LaneStand; readonly hold: Hold }[] {
  return (Object.keys(stands) as LaneStand[]).map((stand) => ({ stand, hold: stands[stand] }));
}

/** HTTP/2's codes of a reset, and of a farewell. */
export const codes = { NO_ERROR: 0, INTERNAL_ERROR: 2, CANCEL: 8, ENHANCE_YOUR_CALM: 11 } as const;
export const resets = ["CANCEL", "INTERNAL_ERROR", "NO_ERROR"] as const;
