import { describe, expect, it } from "vitest";
import { canonicalHost, destinationHost } from "../../../../server/routing/destination.ts";

describe("destinationHost", () => {
  it.each([
    ["localhost:8080", "localhost"],
    ["localhost", "localhost"],
    ["192.168.0.1:8080", "192.168.0.1"],
    ["::", "::"],
    ["9878::7675:1292:9183:7562", "9878::7675:1292:9183:7562"],
    ["[alsk:1204:1020::1292]:8080", "alsk:1204:1020::1292"],
    [" www.kubernetes.test:8080", " www.kubernetes.test"],
    ["[::1]:443", "::1"],
    ["[::1]", "::1"],
    ["[fd00:0:0::0001]:10250", "fd00::1"],
    ["[fe80::1%eth0]:10250", "fe80::1"],
    ["Node-7.Example:443", "node-7.example"],
    ["", ""],
    [":80", ""],
    ["[", "["],
    ["[]:80", ""],
  ])("%j is host %j", (address, host) => {
    expect(destinationHost(address)).toBe(host);
  });
});

it.each([
  ["FD00::A", "fd00::a"],
  ["::ffff:10.0.0.1", "::ffff:10.0.0.1"],
  ["0000:0000:0000:0000:0000:ffff:255.255.255.255", "::ffff:255.255.255.255"],
  ["0000:0000:0000:0000:0000:ffff:255.255.255.255%25a", "::ffff:255.255.255.255"],
  ["10.0.0.1", "10.0.0.1"],
  ["EXAMPLE", "example"],
])("canonicalHost spells %s as %s", (host, canonical) => {
  expect(canonicalHost(host)).toBe(canonical);
});
