import { apiserverCells } from "./cells.ts";
import { describeSmall } from "./small-suite.ts";

describeSmall(apiserverCells);
