import type { TunnelFront } from "../support/tunnel.ts";

type Front = Pick<TunnelFront, "server" | "kind" | "workspace">;

/** As kube-apiserver takes it with --egress-selector-config-file. JSON is YAML. */
export function egressConfiguration({ server: { frontend }, kind, workspace }: Front): object {
  const { client, frontendCa } = workspace.certificates;
  const transport =
    frontend.transport === "uds"
      ? { uds: { udsName: frontend.path } }
      : {
          tcp: {
            url: `https://${frontend.host}:${frontend.port}`,
            tlsConfig: { caBundle: frontendCa, clientCert: client.cert, clientKey: client.key },
          },
        };
  return {
    apiVersion: "apiserver.k8s.io/v1beta1",
    kind: "EgressSelectorConfiguration",
    egressSelections: [
      {
        name: "cluster",
        connection: { proxyProtocol: kind.protocol === "grpc" ? "GRPC" : "HTTPConnect", transport },
      },
    ],
  };
}
