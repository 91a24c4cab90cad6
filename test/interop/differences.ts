import type { Pairing } from "./cells.ts";

/**
 * What a reference does otherwise than the suites ask, with the reason. Where one is named, the suite asks for that other
 * behaviour in place of its own, as far as it is not a matter of luck.
 */
export interface Differences {
  /** CONNECT is answered with 200 before the dial, and a failed one ends the connection. */
  readonly answersBeforeDial?: string;
  /** Connections whose client left during the dial may stay, at the endpoint too. */
  readonly leaksAbandoned?: string;
  /** Bytes of an endpoint that speaks first may be lost, all of a connection's or none. */
  readonly losesBanners?: string;
  /** SIGTERM ends the agent and its connections at once. */
  readonly agentStopsAtOnce?: string;
  /** New dials still go to an agent that is to be drained. */
  readonly ignoresDrain?: string;
}

export function differencesOf({ server, agent, frontend, client }: Pairing): Differences {
  return {
    ...((server === "reference-v0.34.0" || server === "reference-v0.36.0") &&
      frontend.protocol === "connect" &&
      // kube-apiserver's client does not leave before it has its answer.
      client === undefined && {
        leaksAbandoned: "where its 200 cannot be written, the connection stays open for ever",
      }),
    ...(server === "reference-v0.30.3" &&
      frontend.protocol === "connect" && {
        answersBeforeDial: "the server answers 200 before it dials, so that a failed dial has no status of its own",
      }),
    // The Go client's own race: data that comes close behind the DIAL_RSP it answers with CLOSE_REQ, because the dialing
    // goroutine has not registered the connection yet.
    ...(server !== "hawser" &&
      frontend.protocol === "grpc" && {
        losesBanners: "the server sends an endpoint's first data together with the dial's answer",
      }),
    ...(agent === "reference-v0.30.3" && {
      agentStopsAtOnce: "the agent knows no drain: SIGTERM ends it with its connections",
    }),
    ...((server === "reference-v0.30.3" || server === "reference-v0.34.0") && {
      ignoresDrain: "the server takes note of DRAIN at most, and goes on dialing through that agent",
    }),
  };
}
