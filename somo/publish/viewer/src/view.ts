/** What somebody looks at, and the address after "#" that holds it. */

import type { Version } from "./data/version";
import { type Quantity, QUANTITIES } from "./map/colours";
import type { Cell, Centre } from "./map/map";

export interface View {
  day: number;
  layer: number;
  quantity: Quantity;
  cell: Cell | null;
  /** Code of the country whose series is shown instead of a cell's. */
  region: number | null;
  /** Numbers at the ends of the colour bar that somebody set. */
  range: [number, number] | null;
}

/** A view and what in the address could not be followed. */
export interface Wanted {
  view: View;
  centre: Centre | null;
  complaint: string;
}

export function readView(hash: string, version: Version): Wanted {
  const wanted = new URLSearchParams(hash.replace(/^#/, ""));
  const number = (key: string) => parseFloat(wanted.get(key) ?? "");
  const complaints: string[] = [];
  const quantity = QUANTITIES.find((q) => q === wanted.get("quantity"));
  if (wanted.has("quantity") && !(quantity && version.has(quantity))) complaints.push(`there is no ${wanted.get("quantity")} in this version`);
  const last = version.days.length - 1;
  const day = wanted.has("date") ? version.day(wanted.get("date")!) : last;
  if (wanted.has("date") && version.date(day) !== wanted.get("date")) {
    complaints.push(`${wanted.get("date")} is not a day of ${version.date(0)} to ${version.date(last)}`);
  }
  const [lat, lon] = [number("lat"), number("lon")];
  const placed = Number.isFinite(lat) && Number.isFinite(lon);
  const cell = placed ? version.cellOf(lat, lon) : null;
  if (placed && !cell) complaints.push(`${lat} N ${lon} E lies outside the grid`);
  const range: [number, number] = [number("low"), number("high")];
  const view = {
    day,
    layer: Math.min(Math.max((number("layer") || 1) - 1, 0), version.layers.length - 1),
    quantity: quantity && version.has(quantity) ? quantity : ("soil_moisture" as const),
    cell,
    region: cell || !Number.isFinite(number("region")) ? null : number("region"),
    range: range[0] < range[1] ? range : null,
  };
  const centre = wanted.has("zoom") ? { zoom: number("zoom"), lon: number("lon0"), lat: number("lat0") } : null;
  return { view, centre: centre && Object.values(centre).every(Number.isFinite) ? centre : null, complaint: complaints.join("; ") };
}

export function writeView({ day, layer, quantity, cell, region, range }: View, centre: Centre, version: Version): string {
  const parts = new URLSearchParams({ version: version.name, date: version.date(day), layer: String(layer + 1), quantity });
  if (cell) {
    parts.set("lat", version.axes.lat[cell.row]!.toFixed(4));
    parts.set("lon", version.axes.lon[cell.column]!.toFixed(4));
  }
  if (region !== null) parts.set("region", String(region));
  if (range) {
    parts.set("low", String(range[0]));
    parts.set("high", String(range[1]));
  }
  if (centre.zoom !== 1) {
    parts.set("zoom", centre.zoom.toFixed(2));
    parts.set("lon0", centre.lon.toFixed(3));
    parts.set("lat0", centre.lat.toFixed(3));
  }
  return `#${parts}`;
}
