import type { UpstreamFile } from "./covered.ts";

const ourStream = "unit/cli/client/proxy-stream.test.ts";
const ourDials = "integration/frontend-dials.test.ts";
const pendingDials = "integration/lifecycle/pending-dials.test.ts";
const reusable = "interop/reusable.test.ts";
const smallSuite = "interop/small-suite.ts";
const suite = "interop/suite.ts";

/** The library inside kube-apiserver: Hawser replaces the server that it speaks to, and is tested with the library itself. */
export const upstreamClient: readonly UpstreamFile[] = [
  {
    file: "konnectivity-client/pkg/client/client_test.go",
    tests: [
      {
        name: "TestDial",
        ours: { [ourStream]: ["asks for tcp to the target"], [suite]: ["dial, echo and close: the rate"] },
      },
      { name: "TestDialRace", note: "A race between two of the library's goroutines." },
      {
        name: "TestAlreadyDialed",
        note: "The library refuses by itself. A second dial on one stream is ours to answer: see TestServerProxyConnectionMismatch.",
      },
      {
        name: "TestData",
        ours: {
          [ourStream]: ["carries bytes both ways, and drops those for another id"],
          [suite]: ["200-byte echoes on %i connections"],
        },
      },
      {
        name: "TestClose",
        ours: {
          [ourStream]: ["end() asks for the close once and waits for the answer"],
          [smallSuite]: ["… connections are open at once, answer, and are closed by the client"],
        },
      },
      { name: "TestCloseTimeout", ours: { [ourStream]: ["a close that is not answered is given up after 10 s"] } },
      {
        name: "TestCreateSingleUseGrpcTunnel_NoLeakOnFailure, TestCreateSingleUseGrpcTunnelWithContext_NoLeakOnFailure",
        ours: { [ourDials]: ["a proxy that is not there"] },
      },
      {
        name: "TestDialAfterTunnelCancelled",
        ours: { [ourDials]: ["a caller who has given up, before and in the middle"] },
      },
      {
        name: "TestDial_RequestContextCancelled",
        ours: {
          [ourStream]: ["ends with the signal's reason, and the stream with it"],
          [pendingDials]: ["a gRPC client cancels: the agent is told, and its late answer is closed"],
        },
      },
      {
        name: "TestDial_BackendError",
        ours: {
          [ourStream]: ["fails with the proxy's words, sorted by their code"],
          [smallSuite]: ["dials that fail say why, and leave nothing behind"],
        },
      },
      { name: "TestDial_Closed", ours: { [ourStream]: ["fails when the proxy gives it up"] } },
      { name: "TestRegisterMetrics, TestLegacyRegisterMetrics", note: "The library's metrics are kube-apiserver's." },
    ],
  },
  {
    file: "konnectivity-client/pkg/client/reusable_tunnel_test.go",
    tests: [
      {
        name: "TestReusableTunnel_SingleDial, _ManySequentialDials_OneClientConn",
        ours: { [reusable]: ["carries … connections one after the other"] },
      },
      {
        name: "_ConcurrentDials_Isolated",
        ours: {
          [reusable]: ["carries … at a time"],
          "integration/grpc/streams.test.ts": ["200 Proxy streams on one client connection each carry their own bytes"],
        },
      },
      { name: "_PerDialCancellationIsolation", ours: { [reusable]: ["outlives dials that are cancelled"] } },
      {
        name: "_BackendErrorIsNotStreamSetup",
        ours: { [pendingDials]: ["dies: a gRPC dial fails at once"] },
        note: "What counts for the server: a dial that fails is answered on its stream, and never ends the tunnel.",
      },
      {
        name: "_RequestCtxHonoredDuringEstablishment, _LateEstablishmentWaited, _InnerDialContextSendFailureCleansUp, _UnsupportedProtocolShortCircuits, _StreamSetupFailureTyped",
        note: "How the library sets up a stream; no server takes part.",
      },
      {
        name: "_DialAfterCloseTyped, _CloseErrorReturnedToFirstCallerOnly, _ConcurrentClose_WaitsForDrain, _CloseRace, _DoneRequiresClose",
        note: "How the library closes its tunnel; no server takes part.",
      },
      {
        name: "_NoGoroutineLeaks, TestCreateGRPCTunnel_NoLeakOnFailure",
        note: "Goroutines are Go's. That nothing stays at our halves is part of every interop test.",
      },
    ],
  },
];
