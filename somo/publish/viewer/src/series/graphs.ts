/** Which lines and bands stand for which quantity of a cell. */

import { anomalies, CLASS_PERCENT, classProbabilities, percentiles, windowMeans } from "../data/drought";
import type { RegionSeries } from "../data/regions";
import type { Series, Version } from "../data/version";
import { type Quantity, SCALES } from "../map/colours";
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
  /** How many halves the band reaches to either side. */
  reach?: number;
  /** Values at which horizontal lines stand, and what they are. */
  levels?: number[];
  levelsName?: string;
  /** Shares that lie one over the other, the largest first: their tops, and what a table holds of them. */
  areas?: { ink: string; top: Float32Array; column: string; share: Float32Array }[];
  /** 1 at stamps at which the ground counts as frozen. */
  frozen?: Float32Array;
}

export function valuesOf(quantity: Quantity, series: Series, version: Version, layer: number): Values {
  const { days, windows } = version;
  const probable = /^probability_d(\d)$/.exec(quantity);
  if (probable && windows.ends.length && series.uncertainty) {
    const share = version.anomalyShare(layer);
    const sigma = windowMeans(series.uncertainty, days, windows).map((value) => share * value);
    const percent = CLASS_PERCENT[Number(probable[1])]!;
    const values = classProbabilities(windowMeans(series.mean, days, windows), sigma, percent, windows);
    const name = SCALES[quantity].label.replace("P", "p");
    return { name, units: "", stamps: windows.ends, values, digits: 2, levels: [0.5] };
  }
  const moisture = { units: "m³ m⁻³", stamps: days, digits: 3, ...(series.frozen ? { frozen: series.frozen } : {}) };
  if (quantity === "anomaly" && windows.ends.length) {
    const values = anomalies(windowMeans(series.mean, days, windows), windows);
    return { name: "standardised anomaly", units: "standard deviations", stamps: windows.ends, values, digits: 2, levels: [0] };
  }
  if (quantity === "drought_class" && windows.ends.length) {
    const values = percentiles(windowMeans(series.mean, days, windows), windows);
    const limits = { levels: CLASS_PERCENT, levelsName: "the limits of classes D0 to D4" };
    return { name: "percentile", units: "percent", stamps: windows.ends, values, digits: 1, ...limits };
  }
  if (quantity === "soil_moisture_std") return { ...moisture, name: "spread of the ensemble", values: series.std };
  if (quantity === "soil_moisture_uncertainty" && series.uncertainty) {
    return { ...moisture, name: "standard uncertainty", values: series.uncertainty };
  }
  const half = series.uncertainty ?? series.std;
  const halfName = series.uncertainty ? "standard uncertainty" : "spread of the ensemble";
  // 1.645 standard uncertainties hold 90 %; the spread is no error, and two of it only show where it is wide.
  return { ...moisture, name: "soil moisture", values: series.mean, half, halfName, reach: series.uncertainty ? 1.645 : 2 };
}

/** What a country has: the mean of soil moisture and its anomaly, and for drought the share of area in each class. */
export function regionValues(quantity: Quantity, { days, mean, windows, shares }: RegionSeries, version: Version): Values {
  const ofDrought = quantity === "drought_class" || quantity.startsWith("probability");
  if (ofDrought && shares.length) {
    const names = SCALES.drought_class.classes!.map((name) => name.split(" ")[0]!);
    const areas = shares.slice(1).map((share, number) => ({
      ink: SCALES.drought_class.stops[number + 1]!,
      top: share.map((_, i) => 100 * shares.slice(number + 1).reduce((sum, drier) => sum + drier[i]!, 0)),
      column: `percent_of_area_in_${names[number + 1]}`,
      share: share.map((value) => 100 * value),
    }));
    return { name: "area in D1 or drier", units: "percent", stamps: windows, values: areas[1]!.top, digits: 1, areas };
  }
  if (quantity === "anomaly" && version.windows.ends.length) {
    const values = anomalies(windowMeans(mean, days, version.windows), version.windows);
    const stamps = version.windows.ends;
    return { name: "standardised anomaly of the mean", units: "standard deviations", stamps, values, digits: 2, levels: [0] };
  }
  return { name: "mean soil moisture", units: "m³ m⁻³", stamps: days, values: mean, digits: 3 };
}

/** The whole period, with its band and the median of all years. */
export function wholeGraph(shown: Values): Graph {
  if (shown.areas) return areasGraph(shown, () => true);
  const [, , , median] = quantiles(shown.values, shown.stamps, shown.stamps);
  return {
    axis: shown.units ? `${shown.name} [${shown.units}]` : shown.name,
    stamps: shown.stamps,
    bands: bandOf(shown, shown.values, shown.half),
    lines: [
      { label: "median of all years", values: median!, ink: "usual", dash: [5, 3] },
      { label: shown.name, values: shown.values, ink: "accent" },
    ],
    ...(shown.levels ? { levels: shown.levels } : {}),
    ...(shown.frozen ? { shaded: shown.frozen } : {}),
  };
}

/** Shares of an area, each over those that are drier. */
function areasGraph({ name, units, stamps, values, areas }: Values, wanted: (stamp: number) => boolean): Graph {
  const pick = <T extends Float32Array | Int32Array>(list: T) => list.filter((_, i) => wanted(stamps[i]!)) as T;
  return {
    axis: `area [${units}]`,
    stamps: pick(stamps),
    bands: areas!.map(({ ink, top }) => ({ upper: pick(top), lower: pick(top).fill(0), ink })),
    lines: [{ label: name, values: pick(values), ink: "ink", width: 1 }],
  };
}

/** One year over what all years had on the same days. */
export function yearGraph(shown: Values, year: number): Graph {
  if (shown.areas) return areasGraph(shown, (stamp) => yearOf(stamp) === year);
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
    axis: shown.units ? `${shown.name} [${shown.units}]` : shown.name,
    stamps,
    bands: [...bands, ...bandOf(shown, values, shown.half && pick(shown.half))],
    lines,
    ...(shown.levels ? { levels: shown.levels } : {}),
    ...(shown.frozen ? { shaded: pick(shown.frozen) } : {}),
  };
}

function bandOf(shown: Values, values: Float32Array, half: Float32Array | undefined): Band[] {
  if (!half || !shown.half) return [];
  const reach = shown.reach ?? 1;
  return [{ upper: values.map((v, i) => v + reach * half[i]!), lower: values.map((v, i) => Math.max(v - reach * half[i]!, 0)), ink: "band" }];
}
