import type { UpstreamFile } from "./covered.ts";
import { upstreamAgent } from "./upstream-agent.ts";
import { upstreamClient } from "./upstream-client.ts";
import { upstreamIntegration } from "./upstream-integration.ts";
import { upstreamServer } from "./upstream-server.ts";

/** Every test of the reference by part of its repository. */
export const upstreamTests: readonly { readonly title: string; readonly files: readonly UpstreamFile[] }[] = [
  { title: "Whole installations", files: upstreamIntegration },
  { title: "The server", files: upstreamServer },
  { title: "The agent and what both share", files: upstreamAgent },
  { title: "The client library", files: upstreamClient },
];
