import { describe, expect, it } from "vitest";
import type { Metadata } from "../../../../shared/grpc/metadata.ts";
import {
  agentMetadata,
  HeaderError,
  parseAgentMetadata,
  parseServerMetadata,
  serverMetadata,
} from "../../../../shared/konnectivity/agent-headers.ts";

const metadata = (entries: Readonly<Record<string, readonly string[]>>): Metadata => new Map(Object.entries(entries));
const refuses = (parse: () => unknown, message: string) => {
  expect(parse).toThrow(HeaderError);
  expect(parse).toThrow(expect.objectContaining({ message }));
};

describe("the agent's headers", () => {
  it("carry id and identifiers, an empty set too, and the token only if there is one", () => {
    expect([...agentMetadata({ agentId: "a-1", identifiers: "" })]).toEqual([
      ["agentid", ["a-1"]],
      ["agentidentifiers", [""]],
    ]);
    expect(agentMetadata({ agentId: "a-1", identifiers: "host=a", token: " abc\n" }).get("authorization")).toEqual([
      "Bearer abc",
    ]);
  });

  it("come back as they were sent", () => {
    const sent = agentMetadata({ agentId: "a-1", identifiers: "host=a%20b&default-route=1" });
    expect(parseAgentMetadata(sent)).toEqual({
      agentId: "a-1",
      identifiers: { ipv4: [], ipv6: [], host: ["a b"], cidr: [], defaultRoute: true },
      identifiersText: "host=a%20b&default-route=1",
    });
  });

  it("may lack the identifiers, and name an empty id", () => {
    expect(parseAgentMetadata(metadata({ agentid: [""] }))).toMatchObject({ agentId: "", identifiersText: "" });
  });

  it.each<[string, Readonly<Record<string, readonly string[]>>, string]>([
    ["no id", {}, "expected one agent ID in the context, got []"],
    ["two ids", { agentid: ["a", "b"] }, "expected one agent ID in the context, got [a b]"],
    [
      "two sets of identifiers",
      { agentid: ["a"], agentidentifiers: ["host=a", "host=b"] },
      "expected at most one set of agent identifiers in the context, got [host=a host=b]",
    ],
    [
      "a semicolon",
      { agentid: ["a"], agentidentifiers: ["host=a;ipv4=b"] },
      "fail to parse url encoded string: invalid semicolon separator in query",
    ],
    ["a long id", { agentid: ["a".repeat(254)] }, "agent ID must be printable ASCII of at most 253 bytes"],
    ["an id with a line break", { agentid: ["a\nb"] }, "agent ID must be printable ASCII of at most 253 bytes"],
    ["an id beyond ASCII", { agentid: ["ü"] }, "agent ID must be printable ASCII of at most 253 bytes"],
    [
      "long identifiers",
      { agentid: ["a"], agentidentifiers: [`host=${"a".repeat(4092)}`] },
      "agent identifiers must be printable ASCII of at most 4096 bytes",
    ],
  ])("are refused with %s", (_, entries, message) => {
    refuses(() => parseAgentMetadata(metadata(entries)), message);
  });

  it("are taken at the limits", () => {
    const agentId = "a".repeat(253);
    const identifiers = `host=${"a".repeat(4091)}`;
    expect(parseAgentMetadata(agentMetadata({ agentId, identifiers }))).toMatchObject({
      agentId,
      identifiersText: identifiers,
    });
  });

  it("are quoted in a refusal no longer than 1 KiB", () => {
    const ids = Array.from({ length: 100 }, () => "x".repeat(500));
    const parse = () => parseAgentMetadata(metadata({ agentid: ids }));
    refuses(parse, `expected one agent ID in the context, got [${ids.join(" ")}]`.slice(0, 1024));
  });
});

describe("the server's headers", () => {
  it("come back as they were sent", () => {
    expect(parseServerMetadata(serverMetadata({ serverId: "s-1", serverCount: 3 }))).toEqual({
      serverId: "s-1",
      serverCount: 3,
    });
  });

  it.each([
    ["+5", 5],
    ["007", 7],
    ["0", 0],
    ["-2", -2],
  ])("may give the count as %s", (text, serverCount) => {
    const { serverCount: read } = parseServerMetadata(metadata({ serverid: ["s"], servercount: [text] }));
    expect(read).toBe(serverCount);
  });

  it.each<[string, Readonly<Record<string, readonly string[]>>, string]>([
    ["nothing", {}, "expected one server ID in the context, got []"],
    ["two ids", { serverid: ["a", "b"], servercount: ["1"] }, "expected one server ID in the context, got [a b]"],
    [
      "a long id",
      { serverid: ["a".repeat(254)], servercount: ["1"] },
      "server ID must be printable ASCII of at most 253 bytes",
    ],
    ["no count", { serverid: ["a"] }, "expected one server count, got 0"],
    ["two counts", { serverid: ["a"], servercount: ["1", "1"] }, "expected one server count, got 2"],
    ["an empty count", { serverid: ["a"], servercount: [""] }, 'strconv.Atoi: parsing "": invalid syntax'],
    ["a fraction", { serverid: ["a"], servercount: ["1.5"] }, 'strconv.Atoi: parsing "1.5": invalid syntax'],
    ["hexadecimal", { serverid: ["a"], servercount: ["0x1"] }, 'strconv.Atoi: parsing "0x1": invalid syntax'],
    [
      "a count beyond all numbers",
      { serverid: ["a"], servercount: ["9".repeat(30)] },
      `strconv.Atoi: parsing "${"9".repeat(30)}": value out of range`,
    ],
  ])("are refused with %s", (_, entries, message) => {
    refuses(() => parseServerMetadata(metadata(entries)), message);
  });
});
