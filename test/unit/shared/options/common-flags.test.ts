import { expect, it } from "vitest";
import { commonFlags, readLogOptions } from "../../../../shared/options/common-flags.ts";
import { parseFlags } from "../../../../shared/options/pflag.ts";

it.each([
  [[], { file: undefined, stderr: true }],
  [["--log-file=x"], { file: undefined, stderr: true }],
  [["--log-file=x", "--alsologtostderr"], { file: undefined, stderr: true }],
  [["--log-file=x", "--logtostderr=false"], { file: "x", stderr: false }],
  [["--log_file=x", "--logtostderr=false", "--alsologtostderr"], { file: "x", stderr: true }],
  [["--logtostderr=false"], { file: undefined, stderr: true }],
])("%j puts the log where klog would", (argv, place) => {
  const { values } = parseFlags(argv, commonFlags);
  expect(readLogOptions(values)).toEqual({ format: "json", verbosity: 4, ...place });
});
