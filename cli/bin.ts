#!/usr/bin/env node
import { hawser } from "./hawser.ts";

process.exit(await hawser(process.argv.slice(2)));
