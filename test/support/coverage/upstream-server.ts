import type { UpstreamFile } from "./covered.ts";

const registry = "unit/server/links/registry.test.ts";
const pool = "unit/server/routing/link-pool.test.ts";
const link = "unit/server/links/konnectivity-link.test.ts";
const dialer = "unit/server/dialer.test.ts";
const grpcStream = "unit/server/frontends/grpc-stream.test.ts";
const packets = "integration/bad-input/frontend-packets.test.ts";
const hostileAgent = "integration/bad-input/hostile-agent.test.ts";
const pendingDials = "integration/lifecycle/pending-dials.test.ts";
const streams = "integration/grpc/streams.test.ts";
const headers = "unit/shared/konnectivity/agent-headers.test.ts";
const validate = "unit/server/options-validate.test.ts";

export const upstreamServer: readonly UpstreamFile[] = [
  {
    file: "pkg/server/server_test.go",
    tests: [
      {
        name: "TestAgentTokenAuthenticationErrorsToken",
        ours: {
          "unit/server/authentication/token-authenticator.test.ts": [
            "an agent's header",
            "and refused with the reference's words: %j",
          ],
          "integration/token-admission.test.ts": ["%s, unasked", "with %s, and its connection ends"],
          [headers]: ["may lack the identifiers, and name an empty id"],
        },
      },
      {
        name: "TestRemovePendingDialForStream",
        ours: {
          [pendingDials]: ["a gRPC client %s: the agent is told, and its late answer is closed"],
          "integration/bad-input/floods.test.ts": [
            "a client that dials a thousand times at once and leaves: nothing is left of it",
          ],
        },
        note: "There is no table of pending dials by stream: each belongs to its stream, and ends with it.",
      },
      {
        name: "TestHTTPConnectTunnelBlockedBackendDialSendTimesOutCleansPendingDialAndRetiresBackend",
        ours: {
          "integration/lifecycle/agent-frozen.test.ts": [
            "an agent that stands still: a dial ends at its deadline, then the agent is given up, and it links again when it moves",
          ],
          [link]: ["refuses a dial whose own packet shows that the agent does not read"],
        },
      },
      {
        name: "TestAddRemoveFrontends",
        ours: {
          [hostileAgent]: ["an agent reaches no other agent's dials and connections, also not under the same agent id"],
          [streams]: ["200 Proxy streams on one client connection each carry their own bytes"],
        },
        note: "The table of connections is each link's own.",
      },
      {
        name: "TestAddRemoveBackends_DefaultStrategy",
        ours: { [registry]: ["_DefaultStrategy: any agent, none after removal"] },
      },
      {
        name: "TestAddRemoveBackends_DefaultRouteStrategy",
        ours: { [registry]: ["_DefaultRouteStrategy: only who has the default route"] },
      },
      {
        name: "TestAddRemoveBackends_DestHostStrategy",
        ours: {
          [registry]: [
            "_DestHostStrategy: exact matches of each kind; another host, and a default route, match nothing",
          ],
        },
      },
      {
        name: "TestAddRemoveBackends_DestHostSanitizeRequest",
        ours: { [registry]: ["_DestHostSanitizeRequest: the port does not count"] },
      },
      {
        name: "TestAddRemoveBackends_DestHostWithDefault",
        ours: { [registry]: ["_DestHostWithDefault: the match first, else anybody"] },
      },
      {
        name: "TestAddRemoveBackends_DestHostWithDuplicateIdents",
        ours: { [registry]: ["_DestHostWithDuplicateIdents: who is left serves what is shared"] },
      },
      {
        name: "TestEstablishedConnsMetric",
        ours: {
          [dialer]: ["is accepted, and joins both ends until both have closed"],
          [streams]: ["a client that vanishes with 100 connections open leaves nothing behind"],
        },
      },
      {
        name: "TestConnectionDurationMetric",
        ours: { [dialer]: ["is accepted, and joins both ends until both have closed"] },
      },
      {
        name: "TestRemoveEstablishedForBackendConn",
        ours: {
          [link]: ["fails dials and connections at once, and new dials: %s"],
          "integration/lifecycle/agent-killed.test.ts": [
            "an agent dies: its idle connections end within 1 s, the other's go on, and it is used when it is back",
          ],
        },
      },
      {
        name: "TestRemoveEstablishedForBackendConnPreservesOtherBackends",
        ours: {
          "integration/lifecycle/same-agent-id.test.ts": [
            "two agents of one id count once; the first keeps its connections, the second takes over when it goes",
          ],
          [hostileAgent]: ["an agent reaches no other agent's dials and connections, also not under the same agent id"],
        },
      },
      {
        name: "TestRemoveEstablishedForStream",
        ours: {
          [grpcStream]: ["by the client's half-close gives all up: %s"],
          [streams]: ["1,000 streams one after the other on one client connection, each half-closed, leave it usable"],
        },
      },
      {
        name: "TestServerProxyNoBackend",
        ours: {
          [dialer]: ["without an agent says so, and the reference counts that for gRPC alone"],
          [grpcStream]: ["refuses in the contract's words, ours with the dial's number: %s"],
        },
      },
      {
        name: "TestServerProxyNormalClose",
        ours: {
          [pendingDials]: ["a gRPC client %s: the agent is told, and its late answer is closed"],
          [grpcStream]: ["dialing: DATA", "dialing: CLOSE_REQ"],
        },
        note: "A client that sends DATA before the answer to its dial gets CLOSE_RSP here; Go's client never does. The agent still gets DIAL_REQ, then DIAL_CLS.",
      },
      {
        name: "TestServerProxyRecvChanFull",
        ours: { [grpcStream]: ["pauses its stream when its reader is full, and goes on when that has room"] },
      },
      {
        name: "TestServerProxyNoDial",
        ours: {
          [packets]: ["DATA before DIAL_REQ is answered with CLOSE_RSP, and the rest of the stream is discarded"],
        },
      },
      {
        name: "TestServerProxyConnectionMismatch",
        ours: {
          [grpcStream]: ["open: DATA of another connection", "open: CLOSE_REQ of another connection"],
          [packets]: ["DATA for another client's connection ends the sender's own, and not a byte of it arrives there"],
        },
        note: "The agent is told to close the connection that the client owns; a foreign one stays.",
      },
      {
        name: "TestReadyBackendsMetric",
        ours: { [registry]: ["counts identifiers per strategy and distinct agents, from the start on"] },
      },
      {
        name: "TestTotalReadyBackendsMetric",
        ours: { [registry]: ["counts identifiers per strategy and distinct agents, from the start on"] },
      },
    ],
  },
  {
    file: "pkg/server/backend_manager_test.go",
    tests: [
      {
        name: "TestNewBackend",
        ours: {
          [headers]: [
            "are refused with %s",
            "may lack the identifiers, and name an empty id",
            "come back as they were sent",
          ],
        },
      },
      {
        name: "TestDefaultBackendManager_AddRemoveBackends",
        ours: {
          [pool]: [
            "keeps several under one in order of arrival, and each once",
            "removes any identifier and still finds the others",
          ],
        },
      },
      {
        name: "TestDefaultRouteBackendManager_AddRemoveBackends",
        ours: {
          [pool]: ["keeps several under one in order of arrival, and each once"],
          [registry]: ["_DefaultRouteStrategy: only who has the default route"],
        },
      },
      {
        name: "TestDestHostBackendManager_AddRemoveBackends",
        ours: {
          [registry]: [
            "_DestHostStrategy: exact matches of each kind; another host, and a default route, match nothing",
          ],
          [pool]: ["removes any identifier and still finds the others"],
        },
      },
      {
        name: "TestDestHostBackendManager_WithDuplicateIdents",
        ours: {
          [registry]: ["_DestHostWithDuplicateIdents: who is left serves what is shared"],
          [pool]: ["keeps several under one in order of arrival, and each once"],
        },
      },
      {
        name: "TestDefaultBackendManager_GetRandomBackend_DrainingFallback",
        ours: {
          [pool]: [
            "is none when there is none",
            "drains as the reference does: never chosen beside others, chosen when all drain",
          ],
        },
      },
      {
        name: "TestDestHostBackendManager_Backend_DrainingFallback",
        ours: { [registry]: ["prefers who does not drain; when all of a host drain, one of that host"] },
      },
    ],
  },
  {
    file: "pkg/server/proxystrategies_test.go",
    tests: [
      {
        name: "TestProxyStrategy, TestParseProxyStrategy, TestParseProxyStrategies",
        ours: {
          [validate]: ["a server's flags pass the reference's rules", "a server's flags fail the reference's rules"],
          "unit/server/options.test.ts": ["take every flag that works"],
        },
      },
    ],
  },
  {
    file: "pkg/server/leases/gc_controller_test.go",
    tests: [
      {
        name: "TestGarbageCollectionController",
        ours: {
          "unit/server/leases/lease-collector.test.ts": [
            "are the expired ones, whosever, of its labels and namespace; but never its own",
          ],
        },
      },
    ],
  },
  {
    file: "cmd/server/app/options/options_test.go",
    tests: [
      { name: "TestDefaultServerOptions", ours: { "unit/server/options.test.ts": ["have the contract's defaults"] } },
      {
        name: "TestValidate",
        ours: {
          [validate]: ["a server's flags pass the reference's rules", "a server's flags fail the reference's rules"],
        },
      },
    ],
  },
];
