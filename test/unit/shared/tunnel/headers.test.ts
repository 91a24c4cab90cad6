import { describe, expect, it } from "vitest";
import { metadataOf } from "../../../../shared/grpc/metadata.ts";
import { bearsToken, carryMetadata, linkedServers, linkMetadata } from "../../../../shared/tunnel/headers.ts";

describe("the servers that an agent names", () => {
  it.each([[[]], [["one"]], [["a,b", "c d", "%", "häuser", ""]]])(
    "%j come out as they went in, but for empty ones",
    (ids) => {
      const metadata = linkMetadata(metadataOf({ agentid: "a" }), { linkedServers: ids });
      expect(linkedServers(metadata)).toEqual(ids.filter((id) => id !== ""));
      expect(metadata.get("agentid")).toEqual(["a"]);
      expect(metadata.get("hawser-version")).toHaveLength(1);
    },
  );

  it("are none where there is no such header, and one that cannot be read is left out", () => {
    expect(linkedServers(metadataOf({}))).toEqual([]);
    expect(linkedServers(metadataOf({ "hawser-linked-servers": "a,%,%ff,,b" }))).toEqual(["a", "b"]);
  });
});

describe("a token", () => {
  const token = Buffer.alloc(16, 7);

  it("is borne by what was made with it", () => {
    expect(bearsToken(carryMetadata(token), token)).toBe(true);
  });

  it.each([
    ["none", metadataOf({})],
    ["another", carryMetadata(Buffer.alloc(16, 8))],
    ["an empty one", carryMetadata(Buffer.alloc(0))],
    ["a shorter one", carryMetadata(Buffer.alloc(15, 7))],
    ["a longer one", carryMetadata(Buffer.alloc(17, 7))],
  ])("is not borne by %s", (_what, metadata) => {
    expect(bearsToken(metadata, token)).toBe(false);
  });
});
