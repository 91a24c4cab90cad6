import { addAbortListener } from "node:events";
import type { Clock } from "../../../shared/clock.ts";
import type { FrontendProtocol } from "../../client/dial.ts";
import type { HttpsAnswer } from "../https-over.ts";
import { poll } from "../poll.ts";
import { bytesText, durationText } from "../screen.ts";
import { askKubelet, protocolNames, protocols, type Stage } from "../stage.ts";
import { expectEqual, Mismatch } from "../story.ts";
import { readAndVerify } from "../transfer.ts";
import { type AgentId, agentIds } from "../tunnel.ts";

const victim: AgentId = "1";
const survivor: AgentId = "2";
/** What each download has to move before the kill, and each survivor after it. */
const stepBytes = 1024 * 1024;
/** The kernel tells of a killed process at once; a silence that only a ping would notice takes longer than this. */
const lossWithinMs = 5_000;
/** Agents are drawn by lot: so many draws without one of the two do not happen. */
const downloadsMax = 64;
const open = "open_endpoint_connections";

interface DownloadEnd {
  /** By the demo's clock. */
  readonly at: number;
  /** Undefined if it came whole, with the digest that the kubelet counted. */
  readonly error: NodeJS.ErrnoException | undefined;
}

/** A download that goes on until the kubelet is told to stop. */
class EndlessDownload {
  receivedBytes = 0;
  readonly protocol: FrontendProtocol;
  readonly carrier: AgentId;
  /** Never rejects. */
  readonly ended: Promise<DownloadEnd>;

  constructor(
    clock: Clock,
    download: { readonly protocol: FrontendProtocol; readonly carrier: AgentId; readonly answer: HttpsAnswer },
  ) {
    this.protocol = download.protocol;
    this.carrier = download.carrier;
    const onChunk = (byteCount: number) => {
      this.receivedBytes += byteCount;
    };
    this.ended = readAndVerify(download.answer, onChunk).then(
      () => ({ at: clock.now(), error: undefined }),
      (error: Error) => ({ at: clock.now(), error }),
    );
  }
}

/** Kills an agent under running transfers: its own break off at once, the other agent's go on, and new ones take the other agent. */
export async function agentLoss(stage: Stage): Promise<void> {
  const { story, tunnel } = stage;
  story.chapter("An agent is killed in mid-transfer");
  let downloads: readonly EndlessDownload[] = [];
  const carriedBy = (id: AgentId) => downloads.filter(({ carrier }) => carrier === id);

  await story.tell({ label: "downloads run", expected: "downloads through both agents" }, async (signal) => {
    downloads = await openDownloads(stage, signal);
    await allMove(downloads, signal);
    return {
      result: agentIds.map((id) => `${carriedBy(id).length} through agent-${id}`).join(", "),
      figure: `${bytesText(totalOf(downloads))}`,
    };
  });
  const loss = { label: "agent-1 killed", expected: "its downloads break off, with an error", withinMs: lossWithinMs };
  await story.tell(loss, async (signal) => {
    const killedAt = stage.clock.now();
    tunnel.killAgent(victim);
    const broken = carriedBy(victim);
    const ends = await endsOf(broken, signal);
    const views = new Map<string, Set<string>>();
    for (const [index, { error }] of ends.entries()) {
      if (error === undefined) throw new Mismatch("a download that ended as if it were complete");
      const view = `${error.message} (${error.code})`;
      const seenBy = views.get(view) ?? new Set();
      views.set(view, seenBy.add(protocolNames[broken[index]?.protocol ?? "grpc"]));
    }
    return {
      result: "its downloads broke off; they saw",
      figure: `after ${durationText(Math.max(...ends.map(({ at }) => at)) - killedAt)}`,
      detail: [...views].map(([view, seenBy]) => `${view}, by ${[...seenBy].sort().join(" and ")}`).join("; "),
    };
  });
  await story.tell(
    { label: "agent-2 goes on", expected: "its downloads end with the same SHA-256" },
    async (signal) => {
      const survivors = carriedBy(survivor);
      await allMove(survivors, signal);
      const stop = await askKubelet(stage, "grpc", { method: "POST", path: "/stop" }, { signal });
      expectEqual("status of a new request", stop.status, 200);
      stop.body.resume();
      for (const { error } of await endsOf(survivors, signal)) if (error !== undefined) throw error;
      return { result: "its downloads came whole, SHA-256 equal", figure: bytesText(totalOf(survivors)) };
    },
  );
  await story.tell({ label: "agent-1 comes back", expected: "an agent that is linked again" }, async (signal) => {
    await tunnel.startAgent(victim, { signal });
    return { result: "started anew and linked" };
  });
}

/** Opens downloads, by both protocols in turn, until each agent carries at least one of each. */
async function openDownloads(stage: Stage, signal: AbortSignal): Promise<readonly EndlessDownload[]> {
  const downloads: EndlessDownload[] = [];
  const complete = () =>
    agentIds.every((id) =>
      protocols.every((protocol) => downloads.some((one) => one.carrier === id && one.protocol === protocol)),
    );
  let counts = await poll(
    async () => {
      const now = await openByAgent(stage, signal);
      return [...now.values()].every((count) => count === 0) ? now : undefined;
    },
    { signal },
  );
  while (!complete()) {
    if (downloads.length === downloadsMax)
      throw new Mismatch(`${downloadsMax} downloads, and not both agents carry them`);
    const protocol = protocols[downloads.length % protocols.length] ?? "grpc";
    const answer = await askKubelet(stage, protocol, { method: "GET", path: "/stream" }, { signal });
    const next = await openByAgent(stage, signal);
    const carrier = agentIds.find((id) => (next.get(id) ?? 0) > (counts.get(id) ?? 0));
    if (carrier === undefined) throw new Mismatch("an answer, but no agent counts the connection");
    downloads.push(new EndlessDownload(stage.clock, { protocol, carrier, answer }));
    counts = next;
  }
  return downloads;
}

async function openByAgent({ tunnel }: Stage, signal: AbortSignal): Promise<ReadonlyMap<AgentId, number>> {
  const entries = [...tunnel.agents].map(async ([id, agent]) => {
    const counts = await agent.gauges([open], { signal });
    return [id, counts[open]] as const;
  });
  return new Map(await Promise.all(entries));
}

/** Resolves once each has received so much more. */
async function allMove(downloads: readonly EndlessDownload[], signal: AbortSignal): Promise<void> {
  const before = downloads.map(({ receivedBytes }) => receivedBytes);
  const moved = async () =>
    downloads.every(({ receivedBytes }, index) => receivedBytes - (before[index] ?? 0) >= stepBytes) || undefined;
  await poll(moved, { signal });
}

const totalOf = (downloads: readonly EndlessDownload[]): number =>
  downloads.reduce((sum, { receivedBytes }) => sum + receivedBytes, 0);

/** How they ended, once all have; the signal's reason if that comes first. */
function endsOf(downloads: readonly EndlessDownload[], signal: AbortSignal): Promise<readonly DownloadEnd[]> {
  const ends = Promise.all(downloads.map(({ ended }) => ended));
  return new Promise((resolve, reject) => {
    const listener = addAbortListener(signal, () => reject(signal.reason));
    void ends.then(resolve).finally(() => listener[Symbol.dispose]());
  });
}
