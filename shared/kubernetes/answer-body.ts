import type { IncomingMessage } from "node:http";
import { cleanErrorText } from "../konnectivity/dial-error-text.ts";
import { KubernetesError } from "./api.ts";

/** A list of some thousand objects fits; what is longer is not read to its end. */
const bodyMaxBytes = 16 * 1024 * 1024;
const lineMaxBytes = 2 * 1024 * 1024;

/** Reads an answer to its end. Rejects with a KubernetesError if it breaks off or is longer than 16 MiB. */
export async function readBody(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of chunksOf(response)) {
    length += chunk.length;
    if (length > bodyMaxBytes) throw tooLong(response, bodyMaxBytes);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

/** The lines of an answer as they come, without the empty ones. Throws a KubernetesError if it breaks off or a line is too long. */
export async function* readLines(response: IncomingMessage): AsyncGenerator<string> {
  let parts: Buffer[] = [];
  let length = 0;
  for await (const chunk of chunksOf(response)) {
    let from = 0;
    for (let end = chunk.indexOf(0x0a); end !== -1; end = chunk.indexOf(0x0a, from)) {
      const line = Buffer.concat([...parts, chunk.subarray(from, end)]).toString();
      parts = [];
      length = 0;
      from = end + 1;
      if (line.trim() !== "") yield line;
    }
    parts.push(chunk.subarray(from));
    length += chunk.length - from;
    if (length > lineMaxBytes) throw tooLong(response, lineMaxBytes);
  }
}

/** Throws a KubernetesError for a text that is not JSON, or no object. */
export function parseObject(status: number, text: string): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new KubernetesError(status, "", "kube-apiserver's answer is not JSON", { cause });
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new KubernetesError(status, "", "kube-apiserver's answer is no JSON object");
  }
  return value as Readonly<Record<string, unknown>>;
}

/** The error that an answer of this HTTP status stands for; `body` is a Status object if all is well. */
export function answeredError(status: number, body: string): KubernetesError {
  let object: Readonly<Record<string, unknown>> = {};
  try {
    object = parseObject(status, body);
  } catch {
    // A proxy or load balancer in between answers in its own words: the HTTP status has to do.
  }
  return statusError(status, object);
}

/** The same of a Status object that has been decoded. Whatever it lacks is left empty. */
export function statusError(status: number, { reason, message }: Readonly<Record<string, unknown>>): KubernetesError {
  const text = typeof message === "string" && message !== "" ? `: ${cleanErrorText(message)}` : "";
  return new KubernetesError(
    status,
    typeof reason === "string" ? reason : "",
    `kube-apiserver answered ${status}${text}`,
  );
}

async function* chunksOf(response: IncomingMessage): AsyncGenerator<Buffer> {
  try {
    for await (const chunk of response) yield chunk as Buffer;
  } catch (cause) {
    const { statusCode = 0 } = response;
    throw new KubernetesError(statusCode, "", `kube-apiserver's answer broke off: ${(cause as Error).message}`, {
      cause,
    });
  }
}

const tooLong = ({ statusCode = 0 }: IncomingMessage, maxBytes: number): KubernetesError =>
  new KubernetesError(statusCode, "", `kube-apiserver's answer is longer than ${maxBytes} bytes`);
