import type { Duplex } from "node:stream";
import type { Clock } from "../../shared/clock.ts";
import { silentLog } from "../../shared/log.ts";
import { dialFrontend, type FrontendProtocol } from "../client/dial.ts";
import { askHttps, type HttpsAnswer, type HttpsQuestion } from "./https-over.ts";
import type { Screen } from "./screen.ts";
import type { Story } from "./story.ts";
import type { Tunnel } from "./tunnel.ts";

/** What every chapter of the demo works with. */
export interface Stage {
  readonly clock: Clock;
  readonly screen: Screen;
  readonly story: Story;
  readonly tunnel: Tunnel;
  /** What is transferred each way. */
  readonly sizeBytes: number;
}

export const protocols = ["grpc", "connect"] as const satisfies readonly FrontendProtocol[];
export const protocolNames: Readonly<Record<FrontendProtocol, string>> = { grpc: "gRPC", connect: "HTTP CONNECT" };

const dialTimeoutMs = 10_000;

/** Trusts `ca`, the kubelet's own if left out. */
type KubeletQuestion = Pick<HttpsQuestion, "method" | "path" | "body"> & { readonly ca?: string };

/** Opens a connection through the tunnel to the kubelet and asks it one HTTPS question. */
export async function askKubelet(
  stage: Stage,
  protocol: FrontendProtocol,
  question: KubeletQuestion,
  waits: { readonly signal: AbortSignal },
): Promise<HttpsAnswer> {
  return await askOver(stage, await dialKubelet(stage, protocol, waits), question, waits);
}

export function dialKubelet(stage: Stage, protocol: FrontendProtocol, waits: { readonly signal: AbortSignal }) {
  return dial(stage, protocol, stage.tunnel.kubelet.address, waits);
}

/** Asks the kubelet one HTTPS question over a connection to it. */
export function askOver(
  { tunnel: { certificates, kubelet } }: Stage,
  duplex: Duplex,
  question: KubeletQuestion,
  waits: { readonly signal: AbortSignal },
): Promise<HttpsAnswer> {
  const usual = { ca: certificates.read("kubelet-ca.crt"), host: kubelet.host };
  return askHttps(duplex, { ...usual, ...question }, waits);
}

/** Opens a connection through the tunnel. */
export function dial(
  { clock, tunnel }: Pick<Stage, "clock" | "tunnel">,
  protocol: FrontendProtocol,
  target: string,
  waits: { readonly signal: AbortSignal },
) {
  const { frontend } = tunnel;
  return dialFrontend({ log: silentLog, clock }, { protocol, frontend, target, timeoutMs: dialTimeoutMs }, waits);
}
