/** Outlines of land and countries (Natural Earth 1:50m, public domain), as `scripts/shipped.mjs` packs them. */

import { feature, mesh } from "topojson-client";
import type { GeometryCollection, Topology } from "topojson-specification";
import packed from "../shipped/countries.bin?url";
import { unpack } from "./shipped";

type World = Topology<{ countries: GeometryCollection<{ code: number }> }>;

/** As in `somo/publish/store/countries.py`. */
const FIRST_FREE_CODE = 900;

export interface Country {
  /** Numeric, ISO 3166-1; from 900 on for places without one, in the order of the table, as the publication counts them. */
  code: number;
  /** Rings of [longitude, latitude]; what an odd number of them surrounds is land. */
  rings: number[][][];
}

export interface Outlines {
  coast: number[][][];
  borders: number[][][];
  countries: Country[];
}

/** Outlines that come near a box of west, south, east, north. */
export async function readOutlines(box: [number, number, number, number]): Promise<Outlines> {
  const world = parse(await unpack(packed));
  const { countries } = world.objects;
  const near = (lines: number[][][]) => lines.flatMap((line) => counted(line, box)).flatMap((line) => clip(line, box));
  return {
    coast: near(mesh(world, countries, (a, b) => a === b).coordinates),
    borders: near(mesh(world, countries, (a, b) => a !== b).coordinates),
    countries: feature(world, countries).features.map(({ properties, geometry }) => ({
      code: properties.code,
      rings: ringsOf(geometry).flatMap((ring) => {
        const parts = unbroken(ring);
        // Those on either side of the date line lie where any grid counts them; twice in one place land would be sea.
        return parts.length === 1 ? counted(ring, box) : parts;
      }),
    })),
  };
}

function ringsOf(geometry: GeoJSON.Geometry): number[][][] {
  if (geometry.type === "Polygon") return geometry.coordinates;
  return geometry.type === "MultiPolygon" ? geometry.coordinates.flat() : [];
}

/** A line, and once more where a grid that counts longitudes beyond 180 has it. */
function counted(line: number[][], [, , east]: number[]): number[][][] {
  return east! > 180 ? [line, line.map(([lon, lat]) => [lon! + 360, lat!])] : [line];
}

/** A ring that jumps over the date line as two that go on beyond it, one on either side; Antarctica's stays as it is. */
function unbroken(ring: number[][]): number[][][] {
  let turn = 0;
  const whole = ring.map(([lon, lat], i) => {
    const step = i ? lon! - ring[i - 1]![0]! : 0;
    if (Math.abs(step) > 180) turn -= Math.sign(step) * 360;
    return [lon! + turn, lat!];
  });
  if (turn || whole.every(([lon]) => Math.abs(lon!) <= 180)) return [ring];
  const side = whole.some(([lon]) => lon! > 180) ? -360 : 360;
  return [whole, whole.map(([lon, lat]) => [lon! + side, lat!])];
}

function parse(bytes: Uint8Array): World {
  const size = new DataView(bytes.buffer).getUint32(0, true);
  const { transform, geometries } = JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + size)));
  let at = 4 + size;
  const next = () => {
    let [value, shift] = [0, 0];
    for (; ; shift += 7) {
      const byte = bytes[at++]!;
      value |= (byte & 127) << shift;
      if (byte < 128) return value & 1 ? -(value + 1) / 2 : value / 2;
    }
  };
  const arcs: number[][][] = [];
  while (at < bytes.length) arcs.push(Array.from({ length: next() }, () => [next(), next()]));
  let free = FIRST_FREE_CODE;
  const countries = {
    type: "GeometryCollection",
    geometries: geometries.map(({ type, arcs, code }: { type: string; arcs: unknown; code: number }) => ({ type, arcs, properties: { code: code || free++ } })),
  };
  return { type: "Topology", transform, arcs, objects: { countries } } as unknown as World;
}

function clip(line: number[][], [west, south, east, north]: number[]): number[][][] {
  // Wide screens show this much beyond a grid of the shape of Europe, where lines should not end in the middle of the sea.
  const [margin, marginNorthSouth] = [60, 20];
  const parts: number[][][] = [];
  let part: number[][] = [];
  for (const point of line) {
    const [lon, lat] = point as [number, number];
    const inside = lon > west! - margin && lon < east! + margin && lat > south! - marginNorthSouth && lat < north! + marginNorthSouth;
    if (inside) part.push(point);
    else if (part.length) {
      parts.push(part);
      part = [];
    }
  }
  if (part.length > 1) parts.push(part);
  return parts;
}
