import type { GapSection } from "./covered.ts";

const link = "unit/agent/links/konnectivity-link.test.ts";
const serverSet = "unit/agent/links/server-set.test.ts";
const leaseCounter = "unit/agent/links/lease-counter.test.ts";
const splice = "unit/shared/stream/splice.test.ts";
const closing = "integration/closing.test.ts";
const leases = "integration/leases/servers-come-and-go.test.ts";
const drain = "integration/lifecycle/agent-drain.test.ts";

export const agentGaps: readonly GapSection[] = [
  {
    title: "Agent: connections",
    gaps: [
      {
        theirs:
          "One endpoint that does not read stops the whole stream, without end; not even its own close gets through.",
        here: "Its neighbours wait once, for two seconds (up to five if it read slowly before); then it is reset.",
        ours: {
          "integration/grpc/stalled-readers.test.ts": [
            "its client by %s is told, and that client's neighbours wait once, for some two seconds",
          ],
          "unit/shared/konnectivity/stall-guard.test.ts": ["does not begin anew with each pause: two seconds in all"],
        },
        note: "Between two Hawser halves, which link by lanes unless `--link-protocol=konnectivity` is given, nobody waits. On this wire it is not better than that: its packets know no window of a single connection.",
      },
      {
        theirs: "A close is carried out in the loop that receives, and holds up everything while it flushes.",
        here: "It goes on beside the rest.",
        ours: { [link]: ["CLOSE_REQ of a connection whose last bytes cannot leave yet holds up no other"] },
      },
      {
        theirs: "What a client wrote just before it closed is dropped.",
        here: "It reaches the endpoint first, for as long as that reads.",
        ours: {
          [closing]: ["what a client wrote before it closed reaches an endpoint that takes its time"],
          [splice]: ["of the frontend flushes what is on its way and drops what comes back"],
        },
      },
      {
        theirs: "The chunk that was just being queued may be lost when an endpoint closes.",
        here: "CLOSE_RSP comes after the last byte.",
        ours: {
          [closing]: ["what an endpoint wrote before it closed reaches the client, then the end"],
          "interop/small-suite.ts": ["… endpoints that close are read to their last byte"],
        },
      },
      {
        theirs: "There is no half-close, and a reset looks like an end.",
        here: "The packets have no half-close and one way to close: towards the client a reset of the endpoint is an end here too. The agent's log and `hawser_agent_connections_closed_total{by,code}` tell them apart.",
        ours: { [splice]: ["tells who and why by the half and the error's code: %s, %s"] },
        note: "The field for an error in CLOSE_RSP stays empty: Go's client shows it to who closes, not to who reads. Lanes have half-closes and resets.",
      },
      {
        theirs: "A failed write to an endpoint leaves the connection open, and swallows what follows.",
        here: "It ends the connection.",
        ours: { [splice]: ["resets the other: the %s was reset"] },
      },
      {
        theirs: "DIAL_CLS is ignored: a dial that nobody waits for runs to its end.",
        here: "It ends the attempt, which is answered once.",
        ours: {
          [link]: ["that DIAL_CLS gives up ends the attempt and is answered once, with an error"],
          "integration/endpoint-dialer.test.ts": [
            "a dial that is cancelled rejects with the reason, and leaves nothing",
          ],
        },
      },
      {
        theirs: "A dial may name any of Go's networks, Unix sockets of the node among them.",
        here: "tcp only.",
        ours: {
          "integration/bad-input/dial-targets.test.ts": [
            "the protocol %j is refused",
            "a path of a socket is no address, whatever the protocol",
          ],
        },
      },
      {
        theirs: "Each stray DATA packet is answered.",
        here: "The same: the answer is what makes a server forget the connection, and it is never more than what came.",
        ours: {
          [link]: ["of an unknown connection are answered, DATA of connection 0 is dropped"],
          "integration/bad-input/floods.test.ts": [
            "an agent that asks for answers without end and reads none loses its link",
          ],
        },
        note: "Kept. To answer once would need a memory of every number that was ever used; who asks and does not read is cut off.",
      },
      {
        theirs: "Numbers of connections begin at 1 on each stream, so that those of two streams meet.",
        here: "They begin at a random number.",
        ours: { [link]: ["gets an id of its own, and another link gives other ids"] },
      },
    ],
  },
  {
    title: "Agent: links to servers",
    gaps: [
      {
        theirs: "It waits for a server's headers without end, and looks for no other meanwhile.",
        here: "10 s.",
        ours: {
          "integration/lifecycle/silent-server.test.ts": [
            "a server that never answers does not keep its agent from another",
          ],
        },
      },
      {
        theirs: "A link that ends late takes a newer one to the same server with it.",
        here: "Each link removes itself.",
        ours: { [serverSet]: ["late does not remove the newer link to the same server"] },
      },
      {
        theirs: "A wait cannot be interrupted, and links are not closed at the end.",
        here: "A signal ends the wait, and links are closed.",
        ours: { [serverSet]: ["while it sleeps ends the sleep, the links and the loop"] },
      },
      {
        theirs: "`--sync-forever` opens and drops a connection each interval, with a token review at the server.",
        here: "Ever more rarely, once all servers are linked: up to 30 s apart.",
        ours: {
          [serverSet]: [
            "has no bound with sync-forever, but ever rarer attempts beyond the count, until one meets a new server",
          ],
        },
      },
      {
        theirs:
          "Any state but READY ends a link: a server that says that it will go loses all connections within a second.",
        here: "The link lives until it ends, and another is looked for. A Hawser server tells its own agents at once, and others last.",
        ours: {
          [serverSet]: ["keeps its link while another is looked for at once"],
          "integration/lifecycle/server-drain.test.ts": [
            "links them to the other before it is gone; its connections go on, and it exits 0 after the last",
          ],
        },
      },
      {
        theirs: "How many servers there are is heard from new ones alone.",
        here: "From every one that answers.",
        ours: { [serverSet]: ["is told by one that it has already as well"] },
      },
      {
        theirs:
          "The server that answered last is believed: where each is replaced by one that knows of more, an agent may stop short of some for good.",
        here: "The largest number that a linked server said last.",
        ours: {
          [serverSet]: [
            "R-4.4: is not the word of an old server among new ones that know of more, while three take the place of one",
          ],
        },
      },
      {
        theirs: "An agent whose address leads to too few servers asks once a second, and says nothing of it.",
        here: "It asks as often, and says so.",
        ours: {
          [serverSet]: [
            "is told once, after ten attempts for each server, and again only after a link has come or gone",
          ],
        },
      },
      {
        theirs:
          "Two agents in step behind a balancer that deals in turn may each meet one of two servers alone, for minutes.",
        here: "After a server that it has already an agent waits anything from a tenth of `--sync-interval` to nearly twice of it.",
        ours: {
          [serverSet]: ["each meet both servers within half a minute, the second %s s behind the first"],
        },
      },
      {
        theirs: "Leases are only counted: while a linked server's lease has run out, one that comes is not looked for.",
        here: "A server whose lease is valid is looked for whatever the count.",
        ours: {
          [serverSet]: [
            "is one more where a lease names a server that is not linked, though there are links enough: of another the lease has run out",
          ],
        },
      },
      {
        theirs: "Where no lease is found, one server is looked for without a word.",
        here: "With a warning that names the flags.",
        ours: { "unit/agent/links/lease-counter.test.ts": ["of none is told once each time that there is none"] },
      },
      {
        theirs: "A token file's last line break makes a connection fail.",
        here: "White space around a token does not count. A token is read anew for each connection.",
        ours: {
          "unit/shared/kubernetes/token-file.test.ts": [
            "a token is what the file holds, without the white space around it",
          ],
          "integration/token-file.test.ts": ["an agent links with the token of its file"],
        },
        note: "A standing link shows no new token: the wire has no place for it.",
      },
      {
        theirs: "`--ca-cert` is mandatory, which is said by an error about an empty path. Certificates are read once.",
        here: "Mandatory too, said by its name. Certificates are read once here as well: restart the agent.",
        ours: {
          "unit/agent/options.test.ts": ["refuse %.60j"],
          "integration/start-up.test.ts": ["a bundle that is not there"],
        },
        note: "The system's authorities are not used, on purpose: whoever they trust could pose as the server.",
      },
    ],
  },
  {
    title: "Agent: start, stop, leases",
    gaps: [
      {
        theirs: "With lease counting, an outage of kube-apiserver at the start holds up everything, health too.",
        here: "It links to one server, and counts when it can.",
        ours: {
          [leases]: [
            "an API that is away at the start holds neither half up, and a server does not wait for it at the end",
          ],
        },
      },
      {
        theirs: "Leases of the whole namespace are listed and watched, and sorted out in the agent.",
        here: "With the selector on kube-apiserver's side.",
        ours: { [leaseCounter]: ["is a list from its cache, then a watch from there on, both with the selector"] },
      },
      {
        theirs: "Watches are counted as lists.",
        here: "Apart.",
        ours: { [leaseCounter]: ["have lists and watches apart, a watch once however it ends"] },
      },
      {
        theirs: "The first signal only drains; the process stays until it is killed.",
        here: "It exits with 0 when it was idle for 10 s, at the latest after 25 s; a second signal ends it at once.",
        ours: {
          [drain]: [
            "SIGTERM on one of two agents: its connections live on, new dials go to the other, and it exits 0 when it is idle",
            "the only agent left is used although it drains; a second SIGTERM ends it at once",
          ],
        },
      },
    ],
  },
];
