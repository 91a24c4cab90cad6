import type { UpstreamFile } from "./covered.ts";

const link = "unit/agent/links/konnectivity-link.test.ts";
const leaseCounter = "unit/agent/links/lease-counter.test.ts";
const serverCount = "unit/agent/links/server-count.test.ts";
const validate = "unit/agent/options-validate.test.ts";

export const upstreamAgent: readonly UpstreamFile[] = [
  {
    file: "pkg/agent/client_test.go",
    tests: [
      {
        name: "TestServeData_HTTP",
        ours: {
          [link]: [
            "is answered with a new id once it is accepted, and its bytes come after that",
            "an endpoint that closes is told by CLOSE_RSP after its last byte, and the connection is forgotten",
          ],
          "integration/http-endpoints.test.ts": ["a request is answered"],
        },
      },
      {
        name: "TestClose_Client",
        ours: {
          [link]: [
            "CLOSE_REQ ends what is read after its last byte; CLOSE_RSP follows when this side has closed, once",
            "of an unknown connection are answered, DATA of connection 0 is dropped",
          ],
        },
      },
      {
        name: "TestConnectionMismatch",
        ours: { [link]: ["of an unknown connection are answered, DATA of connection 0 is dropped"] },
      },
      {
        name: "TestFailedSend_DialResp_GRPC",
        ours: {
          [link]: ["ends dials and connections, and nothing is sent for them: %s"],
          "unit/agent/dial-handler.test.ts": [
            "closes the endpoint's socket if the server does not want the connection any more",
          ],
        },
      },
      {
        name: "TestDrain",
        ours: {
          [link]: ["says DRAIN once, and goes on to serve"],
          "integration/lifecycle/agent-drain.test.ts": [
            "SIGTERM on one of two agents: its connections live on, new dials go to the other, and it exits 0 when it is idle",
          ],
        },
        note: "Nothing here waits in a receive call, so that no DRAIN can wait behind one.",
      },
    ],
  },
  {
    file: "pkg/agent/clientset_test.go",
    tests: [
      {
        name: "TestAggregateServerCounter",
        ours: { [serverCount]: ["of $leases leases and the word of $said is $count with source $source"] },
      },
      {
        name: "TestResponseBasedCounter",
        ours: { [serverCount]: ["is 1 until a server said more, and again when one says none"] },
      },
    ],
  },
  {
    file: "pkg/agent/lease_counter_test.go",
    tests: [
      {
        name: "TestServerLeaseCounter",
        ours: { [leaseCounter]: ["is that of the valid ones of its labels and namespace", "is 1 %s"] },
      },
      {
        name: "TestServerLeaseCounter_FallbackCount",
        ours: {
          [leaseCounter]: ["leaves the last count as it was, however long it lasts, and is told once", "is 1 %s"],
        },
      },
    ],
  },
  {
    file: "pkg/util/certificates_test.go",
    tests: [
      {
        name: "TestGetClientTLSConfigCABundleValidation",
        ours: {
          "unit/shared/tls/credentials.test.ts": [
            "may hold %s",
            "is refused for %s, by the name of its file",
            "verifies peers of every CA in it, whatever stands between them",
          ],
        },
      },
    ],
  },
  {
    file: "pkg/util/leases_test.go",
    tests: [{ name: "TestIsLeaseValid", ours: { "unit/shared/kubernetes/lease.test.ts": ["a lease"] } }],
  },
  {
    file: "pkg/util/net_test.go",
    tests: [
      { name: "TestRemovePortFromHost", ours: { "unit/server/routing/destination.test.ts": ["%j is host %j"] } },
      {
        name: "TestGetTLSVersion",
        ours: { "unit/shared/tls/policy.test.ts": ["the lowest TLS version", "is refused by any other name"] },
      },
    ],
  },
  {
    file: "pkg/util/util_test.go",
    tests: [{ name: "TestParseLabels", ours: { "unit/shared/kubernetes/lease.test.ts": ["labels", "%j are none"] } }],
  },
  {
    file: "proto/header/header_test.go",
    tests: [
      {
        name: "TestGenAgentIdentifiers",
        ours: {
          "unit/shared/konnectivity/agent-identifiers.test.ts": [
            "reads %j",
            "reads default-route=%s as %s",
            "refuses %j",
          ],
        },
      },
    ],
  },
  {
    file: "cmd/agent/app/options/options_test.go",
    tests: [
      { name: "TestDefaultServerOptions", ours: { "unit/agent/options.test.ts": ["have the contract's defaults"] } },
      {
        name: "TestValidate",
        ours: {
          [validate]: [
            "an agent's flags pass the reference's rules",
            "an agent's flags fail the reference's rules",
            "a selector that is none, in --%s",
          ],
        },
      },
    ],
  },
];
