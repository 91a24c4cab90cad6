import { kubectlSuite } from "./kubectl-suite.ts";

kubectlSuite("connect/uds", { frontend: { protocol: "connect", transport: "uds" } });
