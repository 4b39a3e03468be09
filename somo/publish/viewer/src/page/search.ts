/** Finds places by name (GeoNames, towns of 20,000 people and more) or by coordinates. */

import { unpack } from "../map/shipped";
import packed from "../shipped/places.bin?url";

export interface Place {
  name: string;
  country: string;
  lat: number;
  lon: number;
}

const MOST = 8;
let places: Promise<Place[]> | null = null;

/** Read the list; done once, when somebody goes to the search field. */
export function readPlaces(): Promise<Place[]> {
  return (places ??= unpack(packed)
    .then((bytes) => new TextDecoder().decode(bytes).split("\n").map(parse))
    .catch((error: unknown) => {
      places = null;
      throw error;
    }));
}

function parse(line: string): Place {
  const [name, country, lat, lon] = line.split("\t") as [string, string, string, string];
  return { name, country, lat: Number(lat), lon: Number(lon) };
}

/** Places inside a grid whose names begin with a text, the largest first; or the one that coordinates name. */
export async function search(text: string, inside: (lat: number, lon: number) => boolean): Promise<Place[]> {
  const pair = /^\s*(-?\d+(?:\.\d+)?)\s*[,; ]\s*(-?\d+(?:\.\d+)?)\s*$/.exec(text);
  if (pair) return [{ name: `${pair[1]} N, ${pair[2]} E`, country: "", lat: Number(pair[1]), lon: Number(pair[2]) }];
  const wanted = plain(text);
  if (!wanted) return [];
  return (await readPlaces()).filter((p) => plain(p.name).startsWith(wanted) && inside(p.lat, p.lon)).slice(0, MOST);
}

/** Without capitals and accents. */
function plain(text: string): string {
  return text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase().trim();
}
