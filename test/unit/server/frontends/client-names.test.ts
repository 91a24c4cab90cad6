import { describe, expect, it } from "vitest";
import { isAllowed, namesOf } from "../../../../server/frontends/client-names.ts";

const client = {
  commonName: "kube-apiserver",
  dnsNames: ["API.example", "*.api.example"],
  ipAddresses: ["10.0.0.1", "fd00::1"],
  uris: ["spiffe://cluster/apiserver"],
  fingerprint256: "",
};

describe("a client's certificate", () => {
  it.each([
    [[]],
    [["kube-apiserver"]],
    [["other", "kube-apiserver"]],
    [["api.EXAMPLE"]],
    [["*.api.example"]],
    [["10.0.0.1"]],
    [["fd00:0::0001"]],
    [["spiffe://cluster/apiserver"]],
  ])("opens the frontend to %j", (allowed) => {
    expect(isAllowed(client, allowed)).toBe(true);
  });

  it.each([
    [["Kube-Apiserver"]],
    [["kube"]],
    [["a.api.example"]],
    [["10.0.0.2", "fd00::2"]],
    [["SPIFFE://cluster/apiserver"]],
    [["spiffe://cluster"]],
  ])("does not open it to %j", (allowed) => {
    expect(isAllowed(client, allowed)).toBe(false);
  });

  it("that was not verified opens a frontend only to everybody", () => {
    expect(isAllowed(undefined, ["kube-apiserver"])).toBe(false);
    expect(isAllowed(undefined, [])).toBe(true);
  });

  it("has its common name, if it has one, among its names", () => {
    expect(namesOf(client)).toEqual([
      "kube-apiserver",
      "API.example",
      "*.api.example",
      "10.0.0.1",
      "fd00::1",
      "spiffe://cluster/apiserver",
    ]);
    expect(namesOf({ ...client, commonName: "", dnsNames: [], ipAddresses: [] })).toEqual(client.uris);
  });
});
