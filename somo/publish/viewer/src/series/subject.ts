/** What a series can be of: a cell of the grid, or a country. */

import type { Region, Regions } from "../data/regions";
import type { Version } from "../data/version";
import { east, north } from "../format";
import type { Quantity } from "../map/colours";
import type { Cell } from "../map/map";
import { regionValues, type Values, valuesOf } from "./graphs";

export interface Subject {
  /** Layer and place, as tests and links know them. */
  key: string;
  title: string;
  /** The place in words for the head of a table. */
  place: string;
  fileStem: string;
  hasValues: boolean;
  /** Why there is nothing to show. */
  empty: string;
  /** What to beware of. */
  care: string;
  values(quantity: Quantity): Values;
}

export async function cellSubject(
  version: Version,
  cell: Cell,
  layer: number,
  isLand: (lon: number, lat: number) => boolean | null,
): Promise<Subject> {
  const { row, column } = cell;
  const [lat, lon] = [version.axes.lat[row]!, version.axes.lon[column]!];
  const series = await version.series(layer, row, column);
  const land = isLand(lon, lat);
  return {
    key: `${layer} ${row} ${column}`,
    title: `${north(lat)}, ${east(lon)} · ${version.layers[layer]!.name}`,
    place: `cell centred on ${lat.toFixed(4)} N, ${lon.toFixed(4)} E`,
    fileStem: `${lat.toFixed(2)}_${lon.toFixed(2)}_layer${layer + 1}`,
    hasValues: series.mean.some((value) => !Number.isNaN(value)),
    empty:
      land === null
        ? "No values in this cell."
        : land
          ? "No values in this cell of land: its forcing is missing."
          : "No values in this cell: sea.",
    care: series.applicable ? "" : " This cell is unlike the cells the model was trained on: take its values with care.",
    values: (quantity) => valuesOf(quantity, series, version, layer),
  };
}

export async function regionSubject(version: Version, regions: Regions, region: Region, layer: number): Promise<Subject> {
  const series = await regions.series(layer, region);
  return {
    key: `${layer} region ${region.code}`,
    title: `${region.name} · ${version.layers[layer]!.name}`,
    place: `${region.name} (ISO 3166-1 code ${region.code}), ${region.km2.toFixed(0)} km2 of cells with values, weighted by area`,
    fileStem: `${region.name.replaceAll(/[^\p{L}]+/gu, "_")}_layer${layer + 1}`,
    hasValues: series.mean.some((value) => !Number.isNaN(value)),
    empty: "No cell of this country has values.",
    care: " A cell counts to the country that holds its centre.",
    values: (quantity) => regionValues(quantity, series, version),
  };
}
