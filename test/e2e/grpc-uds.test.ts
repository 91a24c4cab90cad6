import { kubectlSuite } from "./kubectl-suite.ts";

kubectlSuite("grpc/uds", { frontend: { protocol: "grpc", transport: "uds" } });
