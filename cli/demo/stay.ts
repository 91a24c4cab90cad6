import { once } from "node:events";
import { frontendText } from "../client/frontend-address.ts";
import type { Stage } from "./stage.ts";
import type { Tunnel } from "./tunnel.ts";

/** Says what can be tried and waits for the signal. Throws a StoryEnded if a process ends meanwhile. */
export async function stay(stage: Stage, { signal }: { readonly signal: AbortSignal }): Promise<void> {
  const { screen, story, tunnel } = stage;
  screen.line("It stays up until Ctrl-C. In another terminal:");
  screen.line();
  screen.line(`  ${curlLine(tunnel)}`);
  screen.line();
  for (const half of [tunnel.server, ...tunnel.agents.values()]) {
    screen.line(`  curl ${half.healthUrl}/metrics    # ${half.name}`);
  }
  const ended = once(signal, "abort").then(() => undefined);
  await Promise.race([
    ended,
    story.tell({ label: "staying up", expected: "no process ends", withinMs: Number.POSITIVE_INFINITY }, () =>
      tunnel.watch(),
    ),
  ]).catch((error) => {
    if (!signal.aborted) throw error;
  });
  screen.heading("Stopped; nothing is left running.");
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
