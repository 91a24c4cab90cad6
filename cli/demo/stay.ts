import { once } from "node:events";
import { frontendText } from "../client/frontend-address.ts";
import type { Stage } from "./stage.ts";
import { StoryEnded } from "./story.ts";
import type { Tunnel } from "./tunnel.ts";

/** Says what can be tried and waits for the signal. Throws a StoryEnded if a process ends before. */
export async function stay(stage: Stage, { signal }: { readonly signal: AbortSignal }): Promise<void> {
  const { screen, tunnel } = stage;
  signal.throwIfAborted();
  screen.line("It stays up until Ctrl-C. In another terminal:");
  screen.line();
  screen.line(`  ${curlLine(tunnel)}`);
  screen.line();
  for (const { name, healthUrl } of [tunnel.server, ...tunnel.agents.values()]) {
    screen.line(`  curl ${healthUrl}/metrics    # ${name}`);
  }
  const how = await Promise.race([once(signal, "abort").then(() => undefined), tunnel.firstEnd()]);
  if (how === undefined) return;
  screen.failed("staying up", "processes that run until Ctrl-C", how);
  throw new StoryEnded("staying up");
}

/** One line for a shell: CONNECT over mTLS to the proxy server, and inside it HTTPS to the kubelet. */
function curlLine({ certificates, frontend, kubelet }: Tunnel): string {
  const { path } = certificates;
  return [
    `curl --proxytunnel --proxy https://${frontendText(frontend)}`,
    `--proxy-cacert ${path("frontend-ca.crt")} --proxy-cert ${path("client.crt")} --proxy-key ${path("client.key")}`,
    `--cacert ${path("kubelet-ca.crt")} https://${kubelet.address}/`,
  ].join(" \\\n    ");
}
