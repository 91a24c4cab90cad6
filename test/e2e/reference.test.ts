import { smallSuite } from "./kubectl-suite.ts";

const reference = "reference-v0.36.0";

// Each pairing over another kind of frontend.
smallSuite("reference pair, grpc/uds", {
  frontend: { protocol: "grpc", transport: "uds" },
  server: reference,
  agent: reference,
});
smallSuite("reference agents, connect/tcp", {
  frontend: { protocol: "connect", transport: "tcp" },
  agent: reference,
});
smallSuite("reference server, connect/uds", {
  frontend: { protocol: "connect", transport: "uds" },
  server: reference,
});
