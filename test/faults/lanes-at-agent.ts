import { expect } from "vitest";
import { readBytes } from "../support/frontend-client.ts";
import type { RawLane, RawLink, ServedCall } from "../support/raw-tunnel.ts";
import { until } from "../support/until.ts";
import { within } from "../support/within.ts";
import type { Accepted, AgentScene } from "./agent-scene.ts";
import type { HeldLane, Stands } from "./held-lane.ts";
import { takesNoMore } from "./lanes-at-server.ts";

/** Far less than an agent waits for an endpoint. */
const withinMs = 2_000;

type Lane = ServedCall<RawLane>;

interface OpenPair {
  readonly lane: Lane;
  readonly endpoint: Accepted;
}

/** What a raw server has of an agent that it has welcomed. */
export class LanesAtAgent {
  readonly link: ServedCall<RawLink>;
  readonly scene: AgentScene;
  #dialId = 0n;

  private constructor(scene: AgentScene, link: ServedCall<RawLink>) {
    this.scene = scene;
    this.link = link;
  }

  /** The agent calls by itself while it has no link. */
  static async link(scene: AgentScene): Promise<LanesAtAgent> {
    return new LanesAtAgent(scene, await scene.server.welcome());
  }

  /** Connections that have ended because their lane was lost. */
  async lostCount(): Promise<number> {
    const page = await this.scene.agent.metrics();
    return page.sum("hawser_agent_connections_closed_total", { by: "server", code: "agent_lost" }) ?? 0;
  }

  /** The next that the agent opens on this link; those of an older one are passed over. */
  async lane(): Promise<Lane> {
    for (;;) {
      const lane = await this.scene.server.nextLane();
      if (lane.session === this.link.session) return lane;
    }
  }

  dial(lane: Lane, turn: number, address: string): void {
    this.#dialId += 1n;
    lane.channel.send({ type: "dial", turn, dialId: this.#dialId, address, remainingMs: 8_000, protocol: "tcp" });
  }

  async openOn(lane: Lane, turn: number): Promise<OpenPair> {
    this.dial(lane, turn, this.scene.endpoint.address);
    expect(await lane.channel.next("dialed")).toMatchObject({ turn });
    const endpoint = await this.scene.accepted.take("a connection at the endpoint");
    if (endpoint === undefined) throw new Error("the endpoint has stopped");
    return { lane, endpoint };
  }

  async open(): Promise<OpenPair> {
    return this.openOn(await this.lane(), 1);
  }
}

/** Bytes go both ways. */
export async function passes({ lane, endpoint }: OpenPair): Promise<void> {
  endpoint.socket.write("there");
  expect(await lane.channel.next("data")).toMatchObject({ data: Buffer.from("there") });
  lane.channel.send({ type: "data", data: Buffer.from("back") });
  expect((await readBytes(endpoint.socket, 4)).toString()).toBe("back");
}

/** An endpoint must not take what was cut off for an end. */
export async function isReset({ socket, closed }: Accepted): Promise<void> {
  socket.resume();
  expect(await within(withinMs, "the reset of an endpoint", closed)).toBe("ECONNRESET");
}

const nobody = async () => {};
const resetOf = (turn: number) => ({ type: "reset", turn, code: "" }) as const;
type Hold = (lanes: LanesAtAgent) => Promise<HeldLane<Lane>>;

/** How a raw server, with an endpoint, brings a lane of our agent to stand so. */
export const standsAtAgent: Stands<Hold> = {
  async idle(lanes) {
    const lane = await lanes.lane();
    return { lane, carries: false, goesOn: async () => passes(await lanes.openOn(lane, 1)), lost: nobody };
  },
  async "idle again"(lanes) {
    const { lane, endpoint } = await lanes.open();
    lane.channel.send({ type: "end", turn: 1 });
    expect(await readBytes(endpoint.socket, 1)).toHaveLength(0);
    endpoint.socket.end();
    await lane.channel.next("end");
    return { lane, carries: false, goesOn: async () => passes(await lanes.openOn(lane, 2)), lost: nobody };
  },
  async dialing(lanes) {
    const { hole } = lanes.scene;
    const lane = await lanes.lane();
    lanes.dial(lane, 1, hole.address);
    await until("the agent to try", () => hole.knockCount() > 0, { withinMs });
    const lost = () => until("the agent to give up", () => hole.knockCount() === 0, { withinMs }).then(nobody);
    return {
      lane,
      carries: false,
      async goesOn() {
        lane.channel.send(resetOf(1));
        await lane.channel.next("reset");
        await lost();
      },
      lost,
    };
  },
  async open(lanes) {
    const pair = await lanes.open();
    await passes(pair);
    return { lane: pair.lane, carries: true, goesOn: () => passes(pair), lost: () => isReset(pair.endpoint) };
  },
  async ended(lanes) {
    const { lane, endpoint } = await lanes.open();
    endpoint.socket.end();
    await lane.channel.next("end");
    return {
      lane,
      carries: true,
      async goesOn() {
        lane.channel.send({ type: "data", data: Buffer.from("rest") }, { type: "end", turn: 1 });
        expect((await readBytes(endpoint.socket, 5)).toString()).toBe("rest");
      },
      lost: () => isReset(endpoint),
    };
  },
  async peerEnded(lanes) {
    const { lane, endpoint } = await lanes.open();
    lane.channel.send({ type: "end", turn: 1 });
    expect(await readBytes(endpoint.socket, 1)).toHaveLength(0);
    const lostBefore = await lanes.lostCount();
    return {
      lane,
      carries: true,
      async goesOn() {
        endpoint.socket.end("rest");
        expect(await lane.channel.next("data")).toMatchObject({ data: Buffer.from("rest") });
        await lane.channel.next("end");
      },
      lost: () => takesNoMore(endpoint.socket, lanes, lostBefore),
    };
  },
  async resetting(lanes) {
    const { lane, endpoint } = await lanes.open();
    endpoint.socket.resetAndDestroy();
    await lane.channel.next("reset");
    return {
      lane,
      carries: false,
      async goesOn() {
        lane.channel.send(resetOf(1));
        await passes(await lanes.openOn(lane, 2));
      },
      lost: nobody,
    };
  },
};
