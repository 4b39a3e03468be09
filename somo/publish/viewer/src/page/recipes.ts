/** The view as code: what to type in Python, R or a shell to get the same values. */

import type { Version } from "../data/version";
import type { View } from "../view";

export type Language = "python" | "r" | "shell";

export function recipe(language: Language, view: View, version: Version): string {
  const root = new URL("../", version.url).href.replace(/\/$/, "");
  const cell = view.cell ?? { row: version.axes.lat.length >> 1, column: version.axes.lon.length >> 1 };
  const [lat, lon] = [version.axes.lat[cell.row]!.toFixed(4), version.axes.lon[cell.column]!.toFixed(4)];
  const date = version.date(view.day);
  if (language === "shell") return `somo point ${lat} ${lon} --url ${root} --version ${version.name} -o series.csv`;
  if (language === "python") {
    return `import xarray as xr

maps = xr.open_zarr("${root}/v${version.name}/soil_moisture.zarr", chunks=None, decode_coords="all")
day = maps.soil_moisture.isel(depth=${view.layer}).sel(time="${date}").astype("float32")
day.plot()
cells = xr.open_zarr("${root}/v${version.name}/soil_moisture_series.zarr", chunks=None, decode_coords="all")
series = cells.soil_moisture.isel(depth=${view.layer}).sel(lat=${lat}, lon=${lon}, method="nearest")
`;
  }
  const layer = version.nameInFiles(view.layer);
  const [year, note] = yearWithFile(date, version);
  const file = `${version.product}_${layer}_${year}.nc`;
  return `library(ncdf4)
# ${note}
download.file("${root}/v${version.name}/netcdf/${file}", "${file}", mode = "wb")
file <- nc_open("${file}")
lon <- ncvar_get(file, "lon")
lat <- ncvar_get(file, "lat")
days <- as.Date(ncvar_get(file, "time"), origin = "1970-01-01")  # UTC days
day <- ncvar_get(file, "${layer}", start = c(1, 1, which(days == "${sameDay(date, year, version)}")), count = c(-1, -1, 1))
image(lon, rev(lat), day[, length(lat):1])
cell <- c(which.min(abs(lon - ${lon})), which.min(abs(lat - ${lat})))
series <- ncvar_get(file, "${layer}", start = c(cell, 1), count = c(1, 1, -1))
`;
}

/** The year whose file holds a day, or the last one before it that has a file, and what to say about it. */
function yearWithFile(date: string, version: Version): [year: number, note: string] {
  // The catalogue has an item for every year that is complete, and the latest day's beside them.
  const years = version.collection.links.map(({ href }) => Number(/\/(\d{4})\.json$/.exec(href)?.[1]));
  const wanted = Number(date.slice(0, 4));
  if (years.includes(wanted)) return [wanted, `years with such a file: ${years.filter(Number.isFinite).join(", ")}`];
  const year = Math.max(...years.filter((year) => year < wanted));
  if (Number.isFinite(year)) return [year, `${wanted} is not complete and has no such file yet: this is ${sameDay(date, year, version)}`];
  return [wanted, "only complete years have such a file, and this version has none yet"];
}

/** The day of the same date in another year, or the nearest there is: 28 February, or the first day of the version. */
function sameDay(date: string, year: number, version: Version): string {
  const leap = new Date(Date.UTC(year, 1, 29)).getUTCMonth() === 1;
  const day = `${year}${date.endsWith("-02-29") && !leap ? "-02-28" : date.slice(4)}`;
  return day < version.date(0) ? version.date(0) : day;
}
