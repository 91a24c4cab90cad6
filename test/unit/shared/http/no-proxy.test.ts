import { describe, expect, it } from "vitest";
import { goesDirectly } from "../../../../shared/http/no-proxy.ts";

const direct = (list: string, host: string, port = 8091) => goesDirectly(list, { host, port });

/** Entry of NO_PROXY, hosts that it names, hosts that it does not. Each row is as Go's httpproxy decides it. */
const rules: readonly (readonly [string, readonly string[], readonly string[]])[] = [
  ["*", ["example.com", "1.2.3.4", "2001:db8::7"], []],
  ["", [], ["example.com", "1.2.3.4"]],
  ["example.com", ["example.com", "Example.COM", "a.example.com", "b.a.example.com"], ["badexample.com", "com"]],
  [".example.com", ["a.example.com"], ["example.com", "badexample.com"]],
  ["*.example.com", ["a.example.com"], ["example.com", "badexample.com"]],
  ["*example.com", [], ["example.com", "badexample.com"]],
  ["EXAMPLE.com:8091", ["example.com", "a.example.com"], []],
  ["example.com:443", [], ["example.com"]],
  ["example.com:", ["example.com"], []],
  ["example.com.", ["example.com."], ["example.com"]],
  ["com", ["example.com"], []],
  ["http://example.com", [], ["example.com"]],
  ["1.2.3.4", ["1.2.3.4", "::ffff:1.2.3.4"], ["1.2.3.5", "1.2.3.4.", "a.1.2.3.4"]],
  ["1.2.3.4:8091", ["1.2.3.4"], []],
  ["1.2.3.4:443", [], ["1.2.3.4"]],
  ["1.2.3.9/24", ["1.2.3.4", "::ffff:1.2.3.4"], ["1.2.4.4"]],
  ["1.2.3.4/31", ["1.2.3.5"], ["1.2.3.6"]],
  ["1.2.3.4/33", [], ["1.2.3.4"]],
  ["0.0.0.0/0", ["1.2.3.4"], ["2001:db8::7", "example.com"]],
  ["::/0", ["2001:db8::7"], ["1.2.3.4", "::ffff:1.2.3.4"]],
  ["::ffff:1.2.3.0/120", ["1.2.3.4"], ["1.2.4.4"]],
  ["::ffff:0:0/90", [], ["1.2.3.4"]],
  ["fe80::/10", ["fe80::1", "fe80::1%eth0"], ["2001:db8::7"]],
  ["fe80::1%eth0", [], ["fe80::1%eth0"]],
  ["2001:DB8::7", ["2001:db8:0:0::7"], ["2001:db8::8"]],
  ["[2001:db8::7]:8091", ["2001:db8::7"], []],
  ["[2001:db8::7]:443", [], ["2001:db8::7"]],
  ["[2001:db8::7]", [], ["2001:db8::7"]],
  ["2001:db8::7/129", [], ["2001:db8::7"]],
  ["münchen.de", ["xn--mnchen-3ya.de", "münchen.de", "a.münchen.de"], ["munchen.de"]],
  [".münchen.de", ["a.münchen.de"], ["münchen.de"]],
  [":8091", [], ["example.com"]],
  ["a:b:c", [], ["a"]],
  [" a.com , ,\t.example.com,10.0.0.0/8", ["a.com", "x.example.com", "10.1.2.3"], ["example.com", "11.1.2.3"]],
  ["a.com,*", ["example.com"], []],
  ["a.com b.com", [], ["a.com", "b.com"]],
];

describe("NO_PROXY", () => {
  it.each(rules)("%j", (list, named, others) => {
    expect(named.filter((host) => !direct(list, host))).toEqual([]);
    expect(others.filter((host) => direct(list, host))).toEqual([]);
  });

  it("is not asked for this machine", () => {
    for (const host of ["localhost", "127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1"]) {
      expect([host, direct("", host)]).toEqual([host, true]);
    }
    // Go looks at these exact forms alone.
    for (const host of ["LOCALHOST", "localhost.", "sub.localhost", "0.0.0.0", "::"]) {
      expect([host, direct("", host)]).toEqual([host, false]);
    }
  });
});
