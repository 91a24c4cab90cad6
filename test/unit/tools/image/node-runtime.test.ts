import { expect, it } from "vitest";
import { parseLdd } from "../../../../tools/image/node-runtime.ts";

it("takes libraries and the loader from what ldd prints, and not what the kernel lends", () => {
  const printed = [
    "\tlinux-vdso.so.1 (0x00007f004d6aa000)",
    "\tlibm.so.6 => /lib/x86_64-linux-gnu/libm.so.6 (0x00007f004d320000)",
    "\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f004d13e000)",
    "\t/lib64/ld-linux-x86-64.so.2 (0x00007f004d6ac000)",
  ];
  expect(parseLdd(`${printed.join("\n")}\n`)).toEqual([
    "/lib/x86_64-linux-gnu/libm.so.6",
    "/lib/x86_64-linux-gnu/libc.so.6",
    "/lib64/ld-linux-x86-64.so.2",
  ]);
});

it("takes musl's loader once, which is its libc too", () => {
  const printed = "\t/lib/ld-musl-x86_64.so.1 (0x7f1)\n\tlibc.musl-x86_64.so.1 => /lib/ld-musl-x86_64.so.1 (0x7f1)\n";
  expect(parseLdd(printed)).toEqual(["/lib/ld-musl-x86_64.so.1"]);
});

it("a library that is missing is named", () => {
  expect(() => parseLdd("\tlibnode.so.115 => not found\n")).toThrow("needs libnode.so.115");
});

it("a program that stands alone needs none", () => {
  expect(parseLdd("\tstatically linked\n")).toEqual([]);
});
