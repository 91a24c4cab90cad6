import { get } from "node:http";

/** Asks a health listener for one page. Each request has a connection of its own. Rejects with the socket's error or the signal's reason. */
export function fetchPage(
  url: string,
  { signal }: { readonly signal: AbortSignal },
): Promise<{ readonly status: number; readonly body: string }> {
  return new Promise((resolve, reject) => {
    const request = get(url, { agent: false, signal }, (response) => {
      let body = "";
      response.setEncoding("utf8");
      response.on("data", (text: string) => {
        body += text;
      });
      response.on("end", () => resolve({ status: response.statusCode ?? 0, body }));
      response.on("error", reject);
    });
    request.on("error", (error) => reject(signal.aborted ? signal.reason : error));
  });
}

/**
 * The sum of a family's samples on a page in Prometheus' text format, of those that carry all the labels given.
 * Undefined if there is none. Label values with quotes or backslashes are not looked for.
 */
export function sumOfSamples(
  page: string,
  name: string,
  labels: Readonly<Record<string, string>> = {},
): number | undefined {
  const pairs = Object.entries(labels).map(([label, value]) => `${label}="${value}"`);
  const values = page
    .split("\n")
    .filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `))
    .filter((line) => {
      const present = labelsOf(line);
      return pairs.every((pair) => present.has(pair));
    })
    .map((line) => Number(line.slice(line.lastIndexOf(" ") + 1)));
  return values.length === 0 ? undefined : values.reduce((sum, value) => sum + value, 0);
}

function labelsOf(line: string): ReadonlySet<string> {
  return new Set(line.match(/[a-zA-Z_]\w*="(?:[^"\\]|\\.)*"/g));
}
