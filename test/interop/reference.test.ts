import { smallSizes } from "./cells.ts";
import { describeCell } from "./suite.ts";

// The control: what the reference itself does on this machine with this client.
describeCell({
  server: "reference-v0.36.0",
  agent: "reference-v0.36.0",
  frontend: { protocol: "grpc", transport: "uds" },
  sizes: smallSizes,
});
