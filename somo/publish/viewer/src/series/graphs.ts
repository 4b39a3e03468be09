/** Which lines and bands stand for which quantity of a cell. */

import { anomalies, percentiles, windowMeans } from "../data/drought";
import type { Series, Version } from "../data/version";
import type { Quantity } from "../map/colours";
import type { Band, Graph, Line } from "./chart";
import { quantiles, yearOf } from "./years";

/** Values of the chosen quantity at one cell through time. */
export interface Values {
  name: string;
  units: string;
  stamps: Int32Array;
  values: Float32Array;
  digits: number;
  /** Half the width of the band about the values, where there is one, and what it is. */
  half?: Float32Array;
  halfName?: string;
  levels?: number[];
}

/** Limits of the drought classes D0 to D4, percent. */
const CLASS_PERCENT = [30, 20, 10, 5, 2];

export function valuesOf(quantity: Quantity, series: Series, version: Version): Values {
  const { days, windows } = version;
  const moisture = { units: "m³ m⁻³", stamps: days, digits: 3 };
  if (quantity === "anomaly" && windows.ends.length) {
    const values = anomalies(windowMeans(series.mean, days, windows), windows);
    return { name: "standardised anomaly", units: "standard deviations", stamps: windows.ends, values, digits: 2, levels: [0] };
  }
  if (quantity === "drought_class" && windows.ends.length) {
    const values = percentiles(windowMeans(series.mean, days, windows), windows);
    return { name: "percentile", units: "percent", stamps: windows.ends, values, digits: 1, levels: CLASS_PERCENT };
  }
  if (quantity === "soil_moisture_std") return { ...moisture, name: "standard deviation of the ensemble", values: series.std };
  if (quantity === "soil_moisture_uncertainty" && series.uncertainty) {
    return { ...moisture, name: "standard uncertainty", values: series.uncertainty };
  }
  const half = series.uncertainty ?? series.std;
  const halfName = series.uncertainty ? "standard uncertainty" : "standard deviation of the ensemble";
  return { ...moisture, name: "soil moisture", values: series.mean, half, halfName };
}

/** The whole period, with its band and the median of all years. */
export function wholeGraph(shown: Values): Graph {
  const [, , , median] = quantiles(shown.values, shown.stamps, shown.stamps);
  return {
    axis: `${shown.name} [${shown.units}]`,
    stamps: shown.stamps,
    bands: bandOf(shown, shown.values, shown.half),
    lines: [
      { label: "median of all years", values: median!, ink: "usual", dash: [5, 3] },
      { label: shown.name, values: shown.values, ink: "accent" },
    ],
    ...(shown.levels ? { levels: shown.levels } : {}),
  };
}

/** One year over what all years had on the same days. */
export function yearGraph(shown: Values, year: number): Graph {
  const own = shown.stamps.map((stamp) => Number(yearOf(stamp) === year));
  const pick = <T extends Float32Array | Int32Array>(values: T) => values.filter((_, i) => own[i]) as T;
  const stamps = pick(shown.stamps);
  const [least, low, quarter, median, threeQuarters, high, most] = quantiles(shown.values, shown.stamps, stamps);
  const bands: Band[] = [
    { upper: most!, lower: least!, ink: "range" },
    { upper: high!, lower: low!, ink: "tenths" },
    { upper: threeQuarters!, lower: quarter!, ink: "quarters" },
  ];
  const values = pick(shown.values);
  const lines: Line[] = [
    { label: "median of all years", values: median!, ink: "usual", dash: [5, 3] },
    { label: String(year), values, ink: "accent", width: 2 },
  ];
  return {
    axis: `${shown.name} [${shown.units}]`,
    stamps,
    bands: [...bands, ...bandOf(shown, values, shown.half && pick(shown.half))],
    lines,
    ...(shown.levels ? { levels: shown.levels } : {}),
  };
}

function bandOf(shown: Values, values: Float32Array, half: Float32Array | undefined): Band[] {
  if (!half || !shown.half) return [];
  return [{ upper: values.map((v, i) => v + 2 * half[i]!), lower: values.map((v, i) => Math.max(v - 2 * half[i]!, 0)), ink: "band" }];
}
