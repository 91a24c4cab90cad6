import type { Duplex } from "node:stream";
import { expect } from "vitest";
import { type Endpoint, echoEndpoint } from "../support/endpoints.ts";
import { readBytes } from "../support/frontend-client.ts";
import { rawAgentHost } from "../support/raw-agent.ts";
import { linkRawTunnel, type RawCall, type RawLane, type WelcomedAgent } from "../support/raw-tunnel.ts";
import type { Scene } from "../support/scene.ts";
import type { FrontendProtocol } from "../support/transfers.ts";
import { until } from "../support/until.ts";
import type { HeldLane, Stands } from "./held-lane.ts";

const withinMs = 5_000;

type Lane = RawCall<RawLane>;

interface OpenPair {
  readonly lane: Lane;
  readonly client: Duplex;
}

/**
 * A raw agent that serves one address of a scene, and clients that ask for it. The agent of the scene reaches an endpoint there
 * that echoes, and is asked when the raw one is lost.
 */
export class LanesAtServer {
  readonly raw: WelcomedAgent;
  readonly #scene: Scene;
  readonly #echo: Endpoint;

  private constructor(scene: Scene, echo: Endpoint, raw: WelcomedAgent) {
    this.#scene = scene;
    this.#echo = echo;
    this.raw = raw;
  }

  static async link(scene: Scene): Promise<LanesAtServer> {
    const echo = await scene.endpoint(echoEndpoint(rawAgentHost));
    return new LanesAtServer(scene, echo, await linkRawTunnel(scene.tunnel));
  }

  /** Links once more, on a connection of its own. */
  async linkAnew(): Promise<LanesAtServer> {
    return new LanesAtServer(this.#scene, this.#echo, await linkRawTunnel(this.#scene.tunnel));
  }

  close(): Promise<void> {
    return this.raw.agent.close();
  }

  ask(protocol: FrontendProtocol = "connect"): Promise<Duplex> {
    const asked = this.#scene.connection(this.#echo.address, protocol).then(({ duplex }) => duplex);
    // Who looks at it meets the failure.
    asked.catch(() => {});
    return asked;
  }

  /** Connections that have ended because their lane was lost. */
  async lostCount(): Promise<number> {
    const page = await this.#scene.tunnel.server.metrics();
    return page.sum("hawser_server_connections_closed_total", { by: "agent", code: "agent_lost" }) ?? 0;
  }

  /** A connection on this lane, which is idle. */
  async openOn(lane: Lane, turn = 1, protocol?: FrontendProtocol): Promise<OpenPair> {
    const asked = this.ask(protocol);
    expect(await lane.channel.next("dial")).toMatchObject({ turn });
    lane.channel.send({ type: "dialed", turn, reached: "" });
    return { lane, client: await asked };
  }

  async open(protocol?: FrontendProtocol): Promise<OpenPair> {
    return this.openOn(await this.raw.openLane(), 1, protocol);
  }

  /** A connection for which the server has no lane: it asks for one, so it takes none for idle that is not there. */
  async openWithoutSpare(): Promise<OpenPair> {
    const asked = this.ask();
    await this.raw.link.channel.next("lanesWanted");
    const lane = await this.raw.openLane();
    await lane.channel.next("dial");
    lane.channel.send({ type: "dialed", turn: 1, reached: "" });
    return { lane, client: await asked };
  }
}

/** Bytes go both ways. */
export async function passes({ lane, client }: OpenPair): Promise<void> {
  client.write("there");
  expect(await lane.channel.next("data")).toMatchObject({ data: Buffer.from("there") });
  lane.channel.send({ type: "data", data: Buffer.from("back") });
  expect((await readBytes(client, 4)).toString()).toBe("back");
}

/** The client has been told that nothing comes any more, and got no byte. */
export async function isOver(client: Duplex): Promise<void> {
  expect(await readBytes(client, 1)).toHaveLength(0);
}

/** Who has heard the end already learns of the loss when it says more, once that has happened. */
export async function takesNoMore(
  duplex: Duplex,
  lanes: { lostCount(): Promise<number> },
  lostBefore: number,
): Promise<void> {
  await until("the loss of a connection", async () => (await lanes.lostCount()) > lostBefore, { withinMs });
  const refused = () => {
    if (!duplex.destroyed) duplex.write("more");
    return duplex.destroyed;
  };
  await until("a socket to break", refused, { withinMs });
}

/** The scene's own agent has carried it out. */
export async function isOnOtherAgent(client: Promise<Duplex>): Promise<void> {
  const duplex = await client;
  duplex.write("hello");
  expect((await readBytes(duplex, 5)).toString()).toBe("hello");
}

const nobody = async () => {};
type Hold = (lanes: LanesAtServer, protocol?: FrontendProtocol) => Promise<HeldLane<Lane>>;

const onceMore = (lanes: LanesAtServer, lane: Lane, turn: number) => async () => {
  await lanes.raw.agent.ping();
  await passes(await lanes.openOn(lane, turn));
};

/** How a raw agent, with a client, brings a lane of our server to stand so. */
export const standsAtServer: Stands<Hold> = {
  async idle(lanes) {
    const lane = await lanes.raw.openLane();
    return { lane, carries: false, goesOn: onceMore(lanes, lane, 1), lost: nobody };
  },
  async "idle again"(lanes) {
    const { lane, client } = await lanes.open();
    client.end();
    await lane.channel.next("end");
    lane.channel.send({ type: "end", turn: 1 });
    await isOver(client);
    return { lane, carries: false, goesOn: onceMore(lanes, lane, 2), lost: nobody };
  },
  async dialing(lanes, protocol) {
    const lane = await lanes.raw.openLane();
    const asked = lanes.ask(protocol);
    await lane.channel.next("dial");
    return {
      lane,
      carries: false,
      async goesOn() {
        lane.channel.send({ type: "dialed", turn: 1, reached: "" });
        await passes({ lane, client: await asked });
      },
      lost: () => isOnOtherAgent(asked),
    };
  },
  async open(lanes, protocol) {
    const pair = await lanes.open(protocol);
    await passes(pair);
    return { lane: pair.lane, carries: true, goesOn: () => passes(pair), lost: () => isOver(pair.client) };
  },
  async ended(lanes) {
    const { lane, client } = await lanes.open();
    client.end();
    await lane.channel.next("end");
    return {
      lane,
      carries: true,
      async goesOn() {
        lane.channel.send({ type: "data", data: Buffer.from("rest") }, { type: "end", turn: 1 });
        expect((await readBytes(client, 5)).toString()).toBe("rest");
      },
      lost: () => isOver(client),
    };
  },
  async peerEnded(lanes) {
    const { lane, client } = await lanes.open();
    lane.channel.send({ type: "end", turn: 1 });
    await isOver(client);
    const lostBefore = await lanes.lostCount();
    return {
      lane,
      carries: true,
      async goesOn() {
        client.end("rest");
        expect(await lane.channel.next("data")).toMatchObject({ data: Buffer.from("rest") });
        await lane.channel.next("end");
      },
      lost: () => takesNoMore(client, lanes, lostBefore),
    };
  },
  async resetting(lanes) {
    const { lane, client } = await lanes.open("grpc");
    client.destroy();
    await lane.channel.next("reset");
    return {
      lane,
      carries: false,
      async goesOn() {
        lane.channel.send({ type: "reset", turn: 1, code: "" });
        await onceMore(lanes, lane, 2)();
      },
      lost: nobody,
    };
  },
};
