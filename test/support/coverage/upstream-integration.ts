import type { UpstreamFile } from "./covered.ts";

const httpEndpoints = "integration/http-endpoints.test.ts";
const counted = "integration/dial-failures-counted.test.ts";
const pendingDials = "integration/lifecycle/pending-dials.test.ts";
const streams = "integration/grpc/streams.test.ts";
const killed = "integration/lifecycle/agent-killed.test.ts";
const readiness = "integration/lifecycle/readiness.test.ts";
const staticCount = "integration/lifecycle/static-count.test.ts";
const smallSuite = "interop/small-suite.ts";
const suite = "interop/suite.ts";

export const upstreamIntegration: readonly UpstreamFile[] = [
  {
    file: "tests/proxy_test.go",
    tests: [
      {
        name: "TestBasicProxy_GRPC",
        ours: { [httpEndpoints]: ["a request is answered"], [suite]: ["is verified end to end"] },
      },
      { name: "TestProxyHandleDialError_GRPC", ours: { [counted]: ["a port that refuses, by gRPC"] } },
      {
        name: "TestProxyHandle_DoneContext_GRPC",
        ours: { "integration/frontend-dials.test.ts": ["a caller who has given up, before and in the middle"] },
        note: "The expired context is the client library's; this is our own client's.",
      },
      {
        name: "TestProxyHandle_RequestDeadlineExceeded_GRPC",
        ours: { [streams]: ["a client that vanishes with 100 connections open leaves nothing behind"] },
        note: "The deadline is HTTP's, in the client; what reaches the tunnel is a client that leaves an open connection.",
      },
      {
        name: "TestProxyDial_RequestCancelled_GRPC",
        ours: {
          [counted]: ["a client that cancels"],
          [pendingDials]: ["a gRPC client cancels: the agent is told, and its late answer is closed"],
        },
      },
      {
        name: "TestProxyDial_RequestCancelled_Concurrent_GRPC",
        ours: {
          [suite]: ["… dials, a third of them cancelled at random moments, leave nothing behind"],
          "integration/bad-input/floods.test.ts": [
            "a client that dials a thousand times at once and leaves: nothing is left of it",
          ],
        },
      },
      {
        name: "TestProxyDial_AgentTimeout_GRPC",
        ours: {
          [smallSuite]: ["dials that fail say why, and leave nothing behind"],
          "integration/endpoint-dialer.test.ts": ["no answer from the endpoint within 5 s"],
          "unit/agent/metrics.test.ts": ["count failed dials in the reference's terms and in ours"],
        },
      },
      {
        name: "TestProxyHandle_TunnelContextCancelled_GRPC",
        ours: { [streams]: ["a client that vanishes with 100 connections open leaves nothing behind"] },
        note: "The error's text is the client library's.",
      },
      {
        name: "TestProxy_LargeResponse",
        ours: { [httpEndpoints]: ["an answer of 20 MiB that ends with its connection is complete"] },
      },
      {
        name: "TestBasicProxy_HTTPCONN",
        ours: {
          [httpEndpoints]: ["a request is answered"],
          "integration/connect/responses.test.ts": [
            "success: the 200 and nothing else, with Host and without, also with a foreign one",
          ],
        },
      },
      { name: "TestFailedDNSLookupProxy_HTTPCONN", ours: { [counted]: ["a name that is unknown"] } },
      {
        name: "TestFailedDial_HTTPCONN",
        ours: {
          [counted]: ["a port that refuses, by CONNECT"],
          "integration/connect/responses.test.ts": ["an endpoint that refuses: 502 with the agent's text"],
        },
      },
      {
        name: "TestProxyHandle_AfterDrain",
        ours: {
          "integration/lifecycle/agent-drain.test.ts": [
            "the only agent left is used although it drains; a second SIGTERM ends it at once",
          ],
        },
      },
    ],
  },
  {
    file: "tests/agent_disconnect_test.go",
    tests: [
      {
        name: "TestProxy_Agent_Disconnect_Persistent_Connection",
        ours: {
          [killed]: [
            "an agent dies: its idle connections end within 1 s, the other's go on, and it is used when it is back",
          ],
        },
      },
      {
        name: "TestAgentRestartReconnect",
        ours: {
          [killed]: [
            "an agent dies: its idle connections end within 1 s, the other's go on, and it is used when it is back",
          ],
          [smallSuite]: ["an agent that is killed takes its connections along; the next one is used"],
        },
      },
    ],
  },
  {
    file: "tests/benchmarks_test.go",
    tests: [
      {
        name: "BenchmarkLargeResponse_GRPC, BenchmarkLargeRequest_GRPC",
        ours: { [suite]: ["… bytes … on … connections arrive unchanged"] },
        note: "`npm run bench` measures.",
      },
    ],
  },
  {
    file: "tests/concurrent_client_request_test.go",
    tests: [
      {
        name: "TestConcurrentClientRequest",
        ours: { [httpEndpoints]: ["100 requests at once through two agents each get their own answer"] },
      },
    ],
  },
  {
    file: "tests/concurrent_test.go",
    tests: [
      { name: "TestProxy_ConcurrencyGRPC", ours: { [httpEndpoints]: ["ten answers of 10 MiB at once are complete"] } },
      { name: "TestProxy_ConcurrencyHTTP", ours: { [httpEndpoints]: ["ten answers of 10 MiB at once are complete"] } },
      {
        name: "TestAgent_MultipleConn",
        ours: {
          "integration/lifecycle/same-agent-id.test.ts": [
            "two agents of one id count once; the first keeps its connections, the second takes over when it goes",
          ],
        },
      },
    ],
  },
  {
    file: "tests/custom_alpn_test.go",
    tests: [
      {
        name: "TestCustomALPN",
        ours: {
          "integration/agent-alpn.test.ts": [
            "an agent offers what --alpn-proto names before h2, and goes by none but h2",
            "a server takes h2 out of a longer list",
          ],
        },
      },
    ],
  },
  {
    file: "tests/ha_proxy_server_test.go",
    tests: [
      {
        name: "TestBasicHAProxyServer_GRPC",
        ours: {
          [staticCount]: [
            "three agents meet three servers behind one address, do without one that leaves, and meet the one that comes",
          ],
        },
      },
    ],
  },
  {
    file: "tests/readiness_test.go",
    tests: [
      {
        name: "TestGRPCServerAndAgentReadiness",
        ours: { [readiness]: ["a %s server is ready from its first agent to its last"] },
      },
      {
        name: "TestHTTPConnServerAndAgentReadiness",
        ours: { [readiness]: ["a %s server is ready from its first agent to its last"] },
      },
      {
        name: "TestAgentReadinessWithoutServer",
        ours: { [readiness]: ["an agent is live without a server, and ready as long as it has one"] },
      },
    ],
  },
  {
    file: "tests/reconnect_test.go",
    tests: [
      {
        name: "TestServerRestartAgentReconnect",
        ours: {
          "integration/lifecycle/server-shutdown.test.ts": [
            "a server that dies and comes back: its agent finds it again, and dials succeed",
          ],
        },
      },
    ],
  },
  {
    file: "tests/tcp_server_test.go",
    tests: [
      {
        name: "TestEchoServer",
        ours: { "integration/closing.test.ts": ["a message is read in whatever pieces its reader asks for"] },
      },
    ],
  },
  {
    file: "tests/main_test.go",
    tests: [
      {
        name: "TestMain",
        ours: {
          "unit/agent/options.test.ts": [
            "the reference's test framework starts an agent with every flag set, in lexical order",
          ],
        },
        note: "It starts the agent under test as a program, by `-agent-path`, with these flags.",
      },
    ],
  },
  {
    file: "e2e/static_count_test.go",
    tests: [
      {
        name: "TestSingleServer_SingleAgent_StaticCount",
        ours: { [staticCount]: ["one server and one agent that looks for servers for ever count one another once"] },
        note: "As processes, not in kind.",
      },
      {
        name: "TestMultiServer_MultiAgent_StaticCount",
        ours: {
          [staticCount]: [
            "three agents meet three servers behind one address, do without one that leaves, and meet the one that comes",
          ],
        },
        note: "As processes, not in kind.",
      },
    ],
  },
  {
    file: "e2e/lease_count_test.go",
    tests: [
      {
        name: "TestSingleServer_SingleAgent_LeaseCount, TestMultiServer_MultiAgent_LeaseCount",
        ours: {
          "integration/leases/servers-come-and-go.test.ts": [
            "agents find the servers by their leases, one that leaves, one that dies and one that comes",
          ],
          "interop/kubernetes-leases.test.ts": [
            "servers and agents find each other by leases, and nobody loses a connection when servers go and come and the API stands still",
          ],
        },
        note: "As processes, not in kind.",
      },
    ],
  },
  {
    file: "e2e/metrics_assertions_test.go, e2e/main_test.go",
    tests: [
      {
        name: "helpers",
        ours: {
          "unit/server/options.test.ts": ["e2e: the last of two modes wins, and an empty admin address means all"],
          "unit/agent/options.test.ts": ["examples/kind-multinode and e2e: servers are counted by their leases"],
        },
        note: "They need images and kind; that their manifests' flags mean what they mean there is tested.",
      },
    ],
  },
];
