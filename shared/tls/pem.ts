/** One PEM block. `headers` tells whether it carries RFC 1421 headers, as encrypted keys of the old kind do. */
export interface PemBlock {
  readonly label: string;
  readonly headers: boolean;
  readonly der: Buffer;
}

const beginLine = /^-----BEGIN (.+)-----\s*$/;
const endLine = /^-----END (.+)-----\s*$/;
const base64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

/**
 * Reads the PEM blocks of a text in order. What is not a whole block is skipped, as Go's encoding/pem does: text between
 * blocks, a block cut off before its END line, one whose base64 is damaged. Never throws.
 */
export function pemBlocks(text: string): PemBlock[] {
  const blocks: PemBlock[] = [];
  let open: { readonly label: string; readonly lines: string[] } | undefined;
  for (const line of text.split("\n")) {
    const begin = beginLine.exec(line)?.[1];
    if (begin !== undefined) {
      open = { label: begin, lines: [] };
      continue;
    }
    if (open === undefined) continue;
    const end = endLine.exec(line)?.[1];
    if (end === undefined) {
      open.lines.push(line.trim());
      continue;
    }
    const block = end === open.label ? decode(open.label, open.lines) : undefined;
    if (block !== undefined) blocks.push(block);
    open = undefined;
  }
  return blocks;
}

function decode(label: string, lines: readonly string[]): PemBlock | undefined {
  const headerCount = lines.findIndex((line) => !line.includes(":"));
  const body = lines.slice(Math.max(headerCount, 0)).join("");
  if (body === "" || !base64.test(body)) return undefined;
  return { label, headers: headerCount > 0, der: Buffer.from(body, "base64") };
}

/** Writes one block with lines of 64 characters. */
export function toPem(label: string, der: Buffer): string {
  const lines = der.toString("base64").match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join("\n")}\n-----END ${label}-----\n`;
}
