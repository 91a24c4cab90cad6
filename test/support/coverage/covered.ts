/** Tests of ours, by the file under test/ that declares them; each by its title there, or by that of its `describe`. */
export type OurTests = Readonly<Record<string, readonly string[]>>;

/** A test of the reference, and what of ours has the same intent; or a note that says why nothing has. */
export interface UpstreamTest {
  readonly name: string;
  readonly ours?: OurTests;
  readonly note?: string;
}

/** The tests of one file of the reference. */
export interface UpstreamFile {
  readonly file: string;
  readonly tests: readonly UpstreamTest[];
}

/** Where the reference falls short, what Hawser does instead, and the tests that would fail if it did not. */
export interface Gap {
  readonly theirs: string;
  readonly here: string;
  readonly ours?: OurTests;
  /** Why there is no test, or what is still missing. */
  readonly note?: string;
}

export interface GapSection {
  readonly title: string;
  readonly gaps: readonly Gap[];
}
