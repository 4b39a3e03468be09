/** The view as code: what to type in Python, R or a shell to get the same values. */

import type { Version } from "../data/version";
import type { View } from "../view";

export type Language = "python" | "r" | "shell";

export function recipe(language: Language, view: View, version: Version): string {
  const root = new URL("../", version.url).href.replace(/\/$/, "");
  const cell = view.cell ?? { row: version.axes.lat.length >> 1, column: version.axes.lon.length >> 1 };
  const [lat, lon] = [version.axes.lat[cell.row]!.toFixed(4), version.axes.lon[cell.column]!.toFixed(4)];
  const date = version.date(view.day);
  const year = date.slice(0, 4);
  if (language === "shell") return `somo point ${lat} ${lon} --url ${root} --version ${version.name} -o series.csv`;
  if (language === "python") {
    return `import xarray as xr

ds = xr.open_zarr("${root}/v${version.name}/soil_moisture.zarr", decode_coords="all")
day = ds.soil_moisture.isel(depth=${view.layer}).sel(time="${date}").astype("float32")
day.plot()
series = ds.soil_moisture.isel(depth=${view.layer}).sel(lat=${lat}, lon=${lon}, method="nearest")
`;
  }
  const files = `${root}/v${version.name}/collection.json`;
  return `library(terra)
# yearly files are listed in ${files}; complete years have one a layer
maps <- rast("SoMo.ml-EU_layer${view.layer + 1}_${year}.nc", subds = "layer${view.layer + 1}")
plot(maps[[${dayOfYear(date)}]])                       # ${date}
extract(maps, cbind(${lon}, ${lat}))                   # longitude, latitude
`;
}

function dayOfYear(date: string): number {
  return Math.round((Date.parse(date) - Date.parse(`${date.slice(0, 4)}-01-01`)) / 86_400_000) + 1;
}
