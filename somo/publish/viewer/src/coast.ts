/** Coast lines and borders (Natural Earth 1:50m, public domain). */

import { mesh } from "topojson-client";
import type { GeometryCollection, Topology } from "topojson-specification";
import atlas from "world-atlas/countries-50m.json?url";

export interface Lines {
  coast: number[][][];
  borders: number[][][];
}

/** Lines of [longitude, latitude] that pass near a box of west, south, east, north. */
export async function readLines(box: [number, number, number, number]): Promise<Lines> {
  const world = (await (await fetch(atlas)).json()) as Topology<{ countries: GeometryCollection }>;
  const countries = world.objects.countries;
  const near = (lines: number[][][]) => lines.flatMap((line) => clip(line, box));
  return {
    coast: near(mesh(world, countries, (a, b) => a === b).coordinates),
    borders: near(mesh(world, countries, (a, b) => a !== b).coordinates),
  };
}

function clip(line: number[][], [west, south, east, north]: number[]): number[][][] {
  const margin = 15;
  const parts: number[][][] = [];
  let part: number[][] = [];
  for (const point of line) {
    const [lon, lat] = point as [number, number];
    const inside = lon > west! - margin && lon < east! + margin && lat > south! - margin && lat < north! + margin;
    if (inside) part.push(point);
    else if (part.length) {
      parts.push(part);
      part = [];
    }
  }
  if (part.length > 1) parts.push(part);
  return parts;
}
