import { describe, expect, it } from "vitest";
import { HeaderError, parseAgentIdentifiers } from "../../../../shared/konnectivity/agent-identifiers.ts";

const none = { ipv4: [], ipv6: [], host: [], cidr: [], defaultRoute: false };

describe("parseAgentIdentifiers", () => {
  it.each([
    ["", none],
    ["&&", none],
    ["uid=7&unknown=x", none],
    ["ipv4=1.2.3.4", { ...none, ipv4: ["1.2.3.4"] }],
    ["ipv6=%3A%3A1&ipv6=fd00::7", { ...none, ipv6: ["::1", "fd00::7"] }],
    ["host=node-1&host=node%2D1.example", { ...none, host: ["node-1", "node-1.example"] }],
    ["cidr=10.0.0.0/8", { ...none, cidr: ["10.0.0.0/8"] }],
    ["host=b&ipv4=1&host=a", { ...none, host: ["b", "a"], ipv4: ["1"] }],
    ["host=a+b%2Bc", { ...none, host: ["a b+c"] }],
    ["host", { ...none, host: [""] }],
    ["host=a=b", { ...none, host: ["a=b"] }],
    ["Host=a&%68ost=b", { ...none, host: ["b"] }],
    ["host=%C3%BC", { ...none, host: ["ü"] }],
    [
      "ipv4=1.2.3.4&ipv6=::&host=h&cidr=c&default-route=true&uid=9",
      { ipv4: ["1.2.3.4"], ipv6: ["::"], host: ["h"], cidr: ["c"], defaultRoute: true },
    ],
  ])("reads %j", (text, identifiers) => {
    expect(parseAgentIdentifiers(text)).toEqual(identifiers);
  });

  it.each([
    ["1", true],
    ["t", true],
    ["True", true],
    ["TRUE", true],
    ["true", true],
    ["tRUE", false],
    ["yes", false],
    ["", false],
    ["0", false],
    ["false", false],
    ["true&default-route=false", true],
    ["false&default-route=true", false],
    ["bad&default-route=true", false],
  ])("reads default-route=%s as %s", (text, defaultRoute) => {
    expect(parseAgentIdentifiers(`default-route=${text}`)).toEqual({ ...none, defaultRoute });
  });

  it.each([
    ["ipv4=1;ipv4=2", "invalid semicolon separator in query"],
    ["uid=1;2", "invalid semicolon separator in query"],
    ["host=%zz", 'invalid URL escape "%zz"'],
    ["%=1", 'invalid URL escape "%"'],
    ["host=a&unknown=%a", 'invalid URL escape "%a"'],
  ])("refuses %j", (text, reason) => {
    expect(() => parseAgentIdentifiers(text)).toThrow(HeaderError);
    expect(() => parseAgentIdentifiers(text)).toThrow(`fail to parse url encoded string: ${reason}`);
  });
});
