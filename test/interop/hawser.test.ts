import { hawserCells } from "./cells.ts";
import { describeCell } from "./suite.ts";

for (const cell of hawserCells) describeCell(cell);
