/** Starts the page: opens the version, draws the first map, then fetches what can wait. */

import { Version } from "./data/version";
import { get, reason, say } from "./dom";
import { readOutlines } from "./map/countries";
import { GridMap } from "./map/map";
import { Page } from "./page/page";
import "./style.css";
import { readView } from "./view";

void start();

async function start(): Promise<void> {
  document.body.dataset["state"] = "loading";
  try {
    const version = await Version.open(new URL("../", location.href), new URLSearchParams(location.hash.slice(1)).get("version"));
    const map = new GridMap(get<HTMLCanvasElement>("map"), version.axes);
    const wanted = readView(location.hash, version);
    if (wanted.centre) map.view = wanted.centre;
    const page = new Page(version, map, wanted.view);
    page.fill(wanted.complaint);
    await page.showMap();
    if (wanted.view.cell || wanted.view.region !== null) void page.showSeries();
    // The map says what it shows without the coast, which is as many bytes again.
    const outlines = await readOutlines(map.box);
    map.setOutlines(outlines);
    await page.fillRegions(outlines.countries);
  } catch (error) {
    document.body.dataset["state"] = "failed";
    say(get("message"), `These data cannot be shown: ${reason(error)}`, () => location.reload());
  }
}
