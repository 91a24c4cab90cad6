import { createHash } from "node:crypto";
import { json } from "node:stream/consumers";
import type { FrontendProtocol } from "../client/dial.ts";
import type { HttpsAnswer } from "./https-over.ts";
import { digestTrailer, type SinkReport } from "./kubelet-server.ts";
import { Payload } from "./payload.ts";
import { askKubelet, type Stage } from "./stage.ts";
import { expectEqual, expectEqualDigests } from "./story.ts";

export type Direction = "down" | "up";

export interface Transferred {
  readonly digest: string;
  readonly elapsedMs: number;
}

/** Moves `stage.sizeBytes` between the kubelet and here and compares digests. Throws a Mismatch if they differ. */
export async function transfer(
  stage: Stage,
  protocol: FrontendProtocol,
  direction: Direction,
  options: { readonly onProgress: (doneBytes: number, elapsedMs: number) => void; readonly signal: AbortSignal },
): Promise<Transferred> {
  const startedAt = stage.clock.now();
  const progress = (doneBytes: number) => options.onProgress(doneBytes, stage.clock.now() - startedAt);
  const move = direction === "down" ? download : upload;
  const digest = await move(stage, protocol, progress, options.signal);
  return { digest, elapsedMs: stage.clock.now() - startedAt };
}

/** Reads an answer of random bytes to its end and compares digests; `onChunk` hears of each chunk. Resolves to the digest. */
export async function readAndVerify(answer: HttpsAnswer, onChunk: (byteCount: number) => void): Promise<string> {
  expectEqual("status", answer.status, 200);
  const hash = createHash("sha256");
  for await (const chunk of answer.body as AsyncIterable<Buffer>) {
    hash.update(chunk);
    onChunk(chunk.length);
  }
  const digest = hash.digest("hex");
  expectEqualDigests(answer.body.trailers[digestTrailer] ?? "none", digest);
  return digest;
}

type Move = (
  stage: Stage,
  protocol: FrontendProtocol,
  progress: (doneBytes: number) => void,
  signal: AbortSignal,
) => Promise<string>;

const download: Move = async (stage, protocol, progress, signal) => {
  const path = `/bytes?count=${stage.sizeBytes}`;
  const answer = await askKubelet(stage, protocol, { method: "GET", path }, { signal });
  let doneBytes = 0;
  const digest = await readAndVerify(answer, (byteCount) => {
    doneBytes += byteCount;
    progress(doneBytes);
  });
  expectEqual("bytes that arrived:", doneBytes, stage.sizeBytes);
  return digest;
};

const upload: Move = async (stage, protocol, progress, signal) => {
  const body = new Payload(stage.sizeBytes, progress);
  const answer = await askKubelet(stage, protocol, { method: "POST", path: "/sink", body }, { signal });
  expectEqual("status", answer.status, 200);
  const report = (await json(answer.body)) as SinkReport;
  expectEqual("bytes that arrived:", report.bytes, stage.sizeBytes);
  expectEqualDigests(body.digest, report.sha256);
  return body.digest;
};
