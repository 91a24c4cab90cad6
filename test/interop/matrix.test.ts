import { matrix } from "./cells.ts";
import { describeSmall } from "./small-suite.ts";

describeSmall(matrix);
