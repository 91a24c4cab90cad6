import type { GapSection } from "./covered.ts";

const hostileAgent = "integration/bad-input/hostile-agent.test.ts";
const packets = "integration/bad-input/frontend-packets.test.ts";
const pendingDials = "integration/lifecycle/pending-dials.test.ts";
const streams = "integration/grpc/streams.test.ts";
const stalled = "integration/grpc/stalled-readers.test.ts";
const shutdown = "integration/lifecycle/server-shutdown.test.ts";
const frozen = "integration/lifecycle/agent-frozen.test.ts";
const dialer = "unit/server/dialer.test.ts";
const link = "unit/server/links/konnectivity-link.test.ts";
const grpcStream = "unit/server/frontends/grpc-stream.test.ts";
const registry = "unit/server/links/registry.test.ts";
const pool = "unit/server/routing/link-pool.test.ts";

export const serverGaps: readonly GapSection[] = [
  {
    title: "Server: whose packet it is",
    gaps: [
      {
        theirs: "A packet whose payload is not that of its type crashes the process, whoever sends it.",
        here: "It ends the stream that it came on, and what that stream carried; everything else goes on.",
        ours: {
          [packets]: ["%s ends its stream with INVALID_ARGUMENT"],
          [hostileAgent]: ["a packet %s ends that agent's link, with its connections and dials"],
          "unit/shared/konnectivity/packet-hostile.test.ts": [
            "gives a packet or a WireError for a million random and mutated inputs",
          ],
        },
      },
      {
        theirs:
          "Connections are kept by agent id and number. Two streams of one id, as after a restart, mix up their clients' bytes.",
        here: "Each link has a table of its own.",
        ours: {
          [hostileAgent]: ["an agent reaches no other agent's dials and connections, also not under the same agent id"],
          "integration/lifecycle/same-agent-id.test.ts": [
            "two agents of one id count once; the first keeps its connections, the second takes over when it goes",
          ],
        },
      },
      {
        theirs: "Any agent may answer any dial whose number it guesses.",
        here: "An answer counts on the link that was asked and nowhere else.",
        ours: {
          [hostileAgent]: [
            "an agent reaches no other agent's dials and connections, also not under the same agent id",
            "answers that nobody asked for: what they name is closed, and nothing else happens",
          ],
        },
      },
      {
        theirs:
          "A client may send into, or close, another client's connection on the same agent: numbers are small and unchecked.",
        here: "A stream knows its own connection alone; ids towards clients are the server's.",
        ours: {
          [packets]: [
            "DATA for another client's connection ends the sender's own, and not a byte of it arrives there",
            "CLOSE_REQ for another client's connection closes nothing",
          ],
        },
      },
      {
        theirs: "Two dials of one number: the second takes the first one's place, which is then never answered.",
        here: "Both are answered: on two agents both go on; on one agent the second is refused, unless its stream has that dial already.",
        ours: {
          "integration/bad-input/dial-targets.test.ts": [
            "two clients that chose the same id at the same time are both answered",
          ],
          [link]: ["with the id of one that waits is refused, and the first goes on"],
        },
      },
    ],
  },
  {
    title: "Server: dials that end early",
    gaps: [
      {
        theirs:
          "A cancelled dial is not told to the agent; one cancelled just when it succeeds stays open until its stream ends.",
        here: "DIAL_CLS goes to the agent, a late answer is closed, and a late DIAL_CLS closes the connection.",
        ours: {
          [pendingDials]: [
            "a gRPC client cancels: the agent is told, and its late answer is closed",
            "a gRPC client %s: the agent is told, and its late answer is closed",
          ],
          [grpcStream]: ["open: its DIAL_CLS"],
        },
      },
      {
        theirs: "When an agent is lost, its gRPC dials wait for the client's own 30 s.",
        here: "They fail at once, or go to one other agent within the same deadline.",
        ours: {
          [pendingDials]: ["dies: a gRPC dial fails at once"],
          [dialer]: ["is followed by one other, within the same deadline"],
        },
      },
      {
        theirs: "A client that goes between the answer and its entry leaves a connection behind.",
        here: "Whoever gets the answer looks whether the client is still there, in one step.",
        ours: { [dialer]: ["in the turn of the agent's answer gets the connection closed"] },
      },
      {
        theirs: "`--backend-dial-timeout` runs twice: to send, and to wait.",
        here: "One deadline from the request to the answer, a second attempt included; 8 s unless set.",
        ours: {
          [dialer]: ["is over when the deadline has passed, whatever the agent does"],
          [pendingDials]: ["a gRPC client gets the contract's text, and the late answer is closed"],
        },
      },
      {
        theirs: "CONNECT: nobody watches the client's socket while its dial waits.",
        here: "A client that leaves cancels its dial.",
        ours: { [pendingDials]: ["a CONNECT client leaves: the agent is told, and its late answer is closed"] },
      },
      {
        theirs: "CONNECT: if the 200 cannot be written, the connection stays for ever at server and agent.",
        here: "It is closed, and counted as `send_rsp`.",
        ours: {
          "unit/server/frontends/http-connect.test.ts": ["in the turn of the answer makes the answer fail"],
          [dialer]: ["is no connection if the frontend has gone before it hears of it"],
        },
      },
      {
        theirs: "CONNECT: dials without an agent are not counted.",
        here: '`hawser_server_dials_failed_total{code="no_agent"}` counts them. The reference\'s own counter and status 500 stay as they are.',
        ours: { [dialer]: ["without an agent says so, and the reference counts that for gRPC alone"] },
      },
      {
        theirs: "After a refused dial a gRPC stream stays open until the client leaves.",
        here: "The same. Go's client leaves at once, and ending the stream could overtake the answer.",
        note: "Kept. Such a stream holds nothing, and what comes on it is dropped.",
        ours: { [grpcStream]: ["discarding: DATA"] },
      },
    ],
  },
  {
    title: "Server: bytes in flight",
    gaps: [
      {
        theirs: "CONNECT: bytes of an endpoint that speaks first may stand before the 200, or come together with it.",
        here: "The 200 goes alone, and endpoint bytes wait for the client's first byte or 100 ms.",
        ours: {
          "integration/server-first.test.ts": ["… connections to an endpoint that speaks first lose no byte"],
          [dialer]: ["holds a talkative endpoint's first bytes back for 100 ms"],
        },
      },
      {
        theirs: "CONNECT: a client's FIN drops the answer that is under way.",
        here: "The close is sent on once the endpoint was silent for 1 s.",
        ours: {
          "integration/connect/responses.test.ts": ["an answer under way when the client half-closes arrives whole"],
          "unit/shared/stream/splice.test.ts": ["waits until the endpoint was silent for the grace"],
        },
      },
      {
        theirs: "DATA that cannot be sent to the agent is dropped, and the stream goes on with a hole in it.",
        here: "What cannot be sent ends the link or the connection: a stream is whole or broken, never patched.",
        ours: {
          [link]: ["fails dials and connections at once, and new dials: %s"],
          "unit/shared/stream/splice.test.ts": ["resets the other: the %s was reset"],
        },
      },
      {
        theirs: "A failed write to a client is only logged; its agent goes on sending.",
        here: "The agent is told to close.",
        ours: { [streams]: ["a client that vanishes with 100 connections open leaves nothing behind"] },
      },
      {
        theirs: "A message over 4 MiB kills the stream.",
        here: "4 MiB is the limit here too, since memory is bounded by it; it ends that stream alone, with RESOURCE_EXHAUSTED. Towards agents a large message is split.",
        ours: {
          [packets]: [
            "a message of 5 MiB ends its stream with RESOURCE_EXHAUSTED",
            "a message of exactly 4 MiB reaches the endpoint, however long the ids on its way are",
          ],
          "unit/shared/konnectivity/packet-duplex.test.ts": [
            "sends a large write in packets that any peer takes and that others can come between",
          ],
        },
        note: "kube-apiserver's writes are TLS records, of 16 KiB and a little.",
      },
    ],
  },
  {
    title: "Server: who waits for whom",
    gaps: [
      {
        theirs: "One client that does not read stops every connection of that agent: gRPC for 10 s, CONNECT for ever.",
        here: "Its neighbours wait once, for two seconds (up to five if it read slowly before); then it is reset.",
        ours: {
          [stalled]: [
            "by gRPC: its neighbours wait once, for some two seconds, and it finds CLOSE_RSP when it reads again",
            "by CONNECT: its neighbours wait once, for some two seconds",
          ],
          "integration/connect/slow-readers.test.ts": [
            "a client that reads nothing is reset after some two seconds, and its neighbour goes on",
          ],
        },
        note: "Between two Hawser halves, which link by lanes unless `--link-protocol=konnectivity` is given, nobody waits. On this wire it is not better than that: its packets know no window of a single connection.",
      },
      {
        theirs: "An agent that stands still blocks all clients that it serves, without end.",
        here: "Dials end at their deadline, an agent that answers nothing for 4 s is asked last, and one silent for 12 s is given up with all it has.",
        ours: {
          [frozen]: [
            "an agent that stands still: a dial ends at its deadline, then the agent is given up, and it links again when it moves",
          ],
          "integration/bad-input/floods.test.ts": [
            "an agent that asks for answers without end and reads none loses its link",
          ],
        },
      },
    ],
  },
  {
    title: "Server: choice of agents, readiness, counts",
    gaps: [
      {
        theirs: "Gauges are not changed on every way in which dials and connections end.",
        here: "They are, and return to 0; each connection's duration is observed.",
        ours: {
          [streams]: ["a client that vanishes with 100 connections open leaves nothing behind"],
          [dialer]: ["is accepted, and joins both ends until both have closed"],
          "integration/dial-failures-counted.test.ts": ["a client that cancels"],
        },
      },
      {
        theirs: "Readiness looks at the first strategy alone.",
        here: "The same, so that a probe means what it meant before the server was replaced.",
        ours: { [registry]: ["follows the first strategy, whose drained agents count"] },
        note: "Kept. With `destHost,default` a server without an agent that names hosts is unready, though it could dial.",
      },
      {
        theirs:
          "Only the first stream of an agent id is looked at, also if it drains; neighbours of draining agents get more dials.",
        here: "An agent's first link that does not drain is taken, and each agent has the same chance.",
        ours: {
          [pool]: [
            "prefers what does not drain, and takes what drains rather than nothing",
            "gives those that do not drain the same chance, wherever the drained ones stand",
          ],
          [registry]: ["takes another agent, and another link of the same one, when some were tried or are closed"],
        },
      },
      {
        theirs:
          "destHost compares text: another spelling of an IPv6 address, or capitals, do not match. The oldest agent of a host gets everything.",
        here: "Addresses and names are compared in one spelling. The oldest agent of a host gets everything here too.",
        ours: {
          "unit/server/routing/destination.test.ts": ["canonicalHost spells FD00::A as fd00::a"],
          [registry]: ["_DestHostSanitizeRequest: the port does not count"],
        },
        note: "Kept: names are claims, and an agent that comes later and claims a host gets nothing of it while the first is there.",
      },
      {
        theirs: "`[::1]` without a port is mangled.",
        here: "It is read.",
        ours: { "unit/server/routing/destination.test.ts": ["%j is host %j"] },
      },
      {
        theirs: "`ready_backend_connections` is what the strategy that changed last has counted.",
        here: "It is the number of distinct agents.",
        ours: { [registry]: ["counts identifiers per strategy and distinct agents, from the start on"] },
      },
    ],
  },
  {
    title: "Server: start, stop, identity",
    gaps: [
      {
        theirs: "A port in use may crash the process, or be one line in a log while it runs on without that listener.",
        here: "It does not start, and says which flag.",
        ours: { "integration/start-up.test.ts": ["a port in use"] },
      },
      {
        theirs: "A stop may hang for as long as clients stay.",
        here: "Bounded: the grace, then at most some seconds for last words.",
        ours: {
          [shutdown]: [
            "SIGTERM: a connection that outlives the grace is cut, exit 0",
            "SIGTERM with a grace of 0: connections end at once, exit 0",
          ],
        },
      },
      {
        theirs: "The health page goes first in a graceful stop, so that probes fail while tunnels are served.",
        here: "Only readiness goes at once; health and metrics stay until the end.",
        ours: {
          "integration/lifecycle/readiness.test.ts": [
            "a server that shuts down is unready at once, and live as long as it serves",
          ],
        },
      },
      {
        theirs: "The lease is deleted while it is still renewed, and may come back for 30 s.",
        here: "Renewing stops before the deletion.",
        ours: {
          "unit/server/leases/lease-publisher.test.ts": [
            "lets a write on its way finish first, so that it does not bring the lease back",
          ],
        },
      },
      {
        theirs: "A lease without a duration crashes servers and agents.",
        here: "It has expired.",
        ours: {
          "unit/shared/kubernetes/lease.test.ts": ["a lease", "without a spec has expired"],
          "unit/server/leases/lease-collector.test.ts": ["are those with a broken time or without a duration as well"],
        },
      },
      {
        theirs: "Certificates and authorities are read once.",
        here: "The same in this version: restart a half to give it new ones. Token files are read again.",
        note: "Missing, though the wire allows it.",
        ours: { "integration/token-file.test.ts": ["it takes the new token when it connects again"] },
      },
      {
        theirs:
          "The audiences of a token's review are not looked at, refusals have status UNKNOWN, and an agent may claim any host.",
        here: "Audiences are checked, refusals are UNAUTHENTICATED, and `--agent-identifier-policy=own-node` binds claims to who the agent is.",
        ours: {
          "unit/server/authentication/token-authenticator.test.ts": ["and refused with the reference's words: %j"],
          "integration/token-admission.test.ts": ["with %s, and its connection ends"],
          "unit/server/authentication/identifier-policy.test.ts": ["is all that may be claimed: not %j"],
        },
        note: "As there, a token is looked at when its agent connects, and not again.",
      },
      {
        theirs: "Without an authority and without tokens anybody may be an agent, and nothing warns of it.",
        here: "The server does not start, unless `--allow-unauthenticated-agents` says that this is meant.",
        ours: { "integration/start-up.test.ts": ["no CA for agents: refused without --allow-unauthenticated-agents"] },
      },
    ],
  },
];
