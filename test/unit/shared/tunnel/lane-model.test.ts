import { describe, expect, it } from "vitest";
import {
  type LaneAct,
  type LaneRole,
  type LaneState,
  laneAct,
  laneEvent,
} from "../../../../shared/tunnel/lane-state.ts";

/** A message under way: what it is, and of which turn (0 for data, which has none). */
type Sent = `${LaneAct}${number}`;

interface End {
  readonly state: LaneState;
  readonly turn: number;
}

/** Both ends of one lane and what is under way between them. */
interface World {
  readonly server: End;
  readonly agent: End;
  readonly toAgent: readonly Sent[];
  readonly toServer: readonly Sent[];
}

const roles: readonly LaneRole[] = ["server", "agent"];
const everyAct: readonly LaneAct[] = ["dial", "dialed", "refused", "data", "end", "reset"];
const turns = 2;
/** Data is sent while nothing else of this end's waits, so that the number of worlds stays finite. */
const start: World = {
  server: { state: "idle", turn: 0 },
  agent: { state: "idle", turn: 0 },
  toAgent: [],
  toServer: [],
};

const queueTo = (role: LaneRole) => (role === "server" ? "toServer" : "toAgent");
const other = (role: LaneRole): LaneRole => (role === "server" ? "agent" : "server");

/** Every world that one act, or the arrival of one message, can make of this one. Throws on a broken protocol. */
function next(world: World, withTurns: boolean): World[] {
  const worlds: World[] = [];
  for (const role of roles) {
    const end = world[role];
    for (const act of everyAct) {
      const to = laneAct(role, end.state, act);
      if (to === undefined || (act === "dial" && end.turn === turns)) continue;
      const queue = queueTo(other(role));
      if (act === "data" && world[queue].some((sent) => sent.startsWith("data"))) continue;
      const turn = act === "dial" ? end.turn + 1 : end.turn;
      const sent: Sent = `${act}${act === "data" ? 0 : turn}`;
      worlds.push({ ...world, [role]: { state: to, turn }, [queue]: [...world[queue], sent] });
    }
    const [message, ...rest] = world[queueTo(role)];
    if (message !== undefined) worlds.push(arrive({ ...world, [queueTo(role)]: rest }, role, message, withTurns));
  }
  return worlds;
}

function arrive(world: World, role: LaneRole, message: Sent, withTurns: boolean): World {
  const end = world[role];
  const event = message.replace(/[0-9]+$/, "") as LaneAct;
  const turn = Number(/[0-9]+$/.exec(message)?.[0]);
  if (event === "dial") {
    if (turn !== end.turn + 1) throw new Error(`dial of turn ${turn} after turn ${end.turn}`);
  } else if (withTurns && event !== "data" && turn < end.turn) {
    return world;
  }
  const step = laneEvent(role, end.state, event);
  if (step === undefined) throw new Error(`${role} in ${end.state} got ${message}`);
  if (step.do !== "drop" && event !== "data" && event !== "dial" && turn !== end.turn) {
    throw new Error(`${role} heeded ${message} in turn ${end.turn}`);
  }
  const answer =
    step.do === "answer" ? { [queueTo(other(role))]: [...world[queueTo(other(role))], `reset${turn}`] } : {};
  return { ...world, ...answer, [role]: { state: step.to, turn: event === "dial" ? turn : end.turn } };
}

/** Walks through every world that can come about; returns each with those that may follow. */
function explore(withTurns = true): Map<string, { readonly world: World; readonly next: readonly string[] }> {
  const seen = new Map<string, { world: World; next: string[] }>();
  const open: World[] = [start];
  for (let world = open.pop(); world !== undefined; world = open.pop()) {
    const key = JSON.stringify(world);
    if (seen.has(key)) continue;
    const followers = next(world, withTurns);
    seen.set(key, { world, next: followers.map((follower) => JSON.stringify(follower)) });
    open.push(...followers);
  }
  return seen;
}

const isOver = ({ server, agent, toAgent, toServer }: World) =>
  server.state === "idle" && agent.state === "idle" && toAgent.length === 0 && toServer.length === 0;

describe("every order of messages on a lane, through two turns", () => {
  it("breaks no rule, and a message of one turn is never heeded in another", () => {
    expect(explore().size).toBe(353);
  });

  it("can always come to rest, so that the lane is used again", () => {
    const worlds = explore();
    const resting = new Set([...worlds].filter(([, { world }]) => isOver(world)).map(([key]) => key));
    for (let grown = true; grown; ) {
      grown = false;
      for (const [key, { next: followers }] of worlds) {
        if (resting.has(key) || !followers.some((follower) => resting.has(follower))) continue;
        resting.add(key);
        grown = true;
      }
    }
    expect(resting.size).toBe(worlds.size);
  });

  it("needs the number of the turn: without it an old Reset kills the next dial", () => {
    expect(() => explore(false)).toThrow(/reset1/);
  });
});
