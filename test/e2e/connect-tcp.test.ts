import { kubectlSuite } from "./kubectl-suite.ts";

kubectlSuite("connect/tcp", { frontend: { protocol: "connect", transport: "tcp" } });
