/** The lanes of a link: those that carry a connection, begin one or end one, and those that wait for one. */
export interface LaneCounts {
  readonly inUse: number;
  readonly spare: number;
}

/**
 * Where a lane stands at one of its ends. `ended` and `peerEnded` are half-closes: this end, or the other, sends no more.
 * `resetting`: this end has sent Reset and waits for the other's last message of the turn.
 */
export type LaneState = "idle" | "dialing" | "open" | "ended" | "peerEnded" | "resetting";

/** What this end does; each but `data` sends the message of that name. Only the server dials, only the agent answers. */
export type LaneAct = "dial" | "dialed" | "refused" | "data" | "end" | "reset";

/** What comes from the other end. */
export type LaneEvent = LaneAct;

export type LaneRole = "server" | "agent";

/** What is to be done about a message: `drop` it, answer it with Reset (`answer`) besides heeding it, or heed it. */
export interface LaneStep {
  readonly to: LaneState;
  readonly do: "heed" | "answer" | "drop";
}

type Acts = Readonly<Record<LaneState, Partial<Record<LaneAct, LaneState>>>>;

/** The states that an act leads to; what is not here is a defect of this program. */
const acts: Readonly<Record<LaneRole, Acts>> = {
  server: {
    idle: { dial: "dialing" },
    dialing: { reset: "resetting" },
    ...openActs(),
    resetting: {},
  },
  agent: {
    idle: {},
    dialing: { dialed: "open", refused: "idle" },
    ...openActs(),
    resetting: {},
  },
};

function openActs() {
  return {
    open: { data: "open", end: "ended", reset: "resetting" },
    ended: { reset: "resetting" },
    // The other end has sent its last message already: with ours the turn is over.
    peerEnded: { data: "peerEnded", end: "idle", reset: "idle" },
  } as const;
}

type Events = Readonly<Record<LaneState, Partial<Record<LaneEvent, LaneStep>>>>;

const heed = (to: LaneState): LaneStep => ({ to, do: "heed" });
const drop = (to: LaneState): LaneStep => ({ to, do: "drop" });
const answer: LaneStep = { to: "idle", do: "answer" };

/** What a message leads to; what is not here breaks the protocol. */
const events: Readonly<Record<LaneRole, Events>> = {
  server: {
    // A Reset that crossed this end's last message.
    idle: { reset: drop("idle") },
    dialing: { dialed: heed("open"), refused: heed("idle") },
    ...openEvents(),
    resetting: { ...resettingEvents(), dialed: drop("resetting"), refused: drop("idle") },
  },
  agent: {
    idle: { dial: heed("dialing"), reset: drop("idle") },
    dialing: { reset: answer },
    ...openEvents(),
    resetting: resettingEvents(),
  },
};

function openEvents() {
  return {
    open: { data: heed("open"), end: heed("peerEnded"), reset: answer },
    ended: { data: heed("ended"), end: heed("idle"), reset: heed("idle") },
    peerEnded: { reset: answer },
  } as const;
}

function resettingEvents() {
  return { data: drop("resetting"), end: drop("idle"), reset: drop("idle") } as const;
}

/** Data moves nothing, and comes often: where either role may send it, and where what comes is for its reader. */
export const sendsData: ReadonlySet<LaneState> = statesWithData(openActs());
export const takesData: ReadonlySet<LaneState> = statesWithData(openEvents());

function statesWithData(table: Partial<Record<LaneState, object>>): ReadonlySet<LaneState> {
  return new Set((Object.keys(table) as LaneState[]).filter((state) => "data" in (table[state] ?? {})));
}

/** Where `act` leads from `state`, or undefined if this role must not do that there. */
export function laneAct(role: LaneRole, state: LaneState, act: LaneAct): LaneState | undefined {
  return acts[role][state][act];
}

/** What a message of the present turn leads to, or undefined if it breaks the protocol. */
export function laneEvent(role: LaneRole, state: LaneState, event: LaneEvent): LaneStep | undefined {
  return events[role][state][event];
}
