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
    await outline(map, page);
  } catch (error) {
    document.body.dataset["state"] = "failed";
    say(get("message"), `These data cannot be shown: ${reason(error)}`, () => location.reload());
  }
}

/** Draw the coast once the map stands, which says what it shows without it: the outlines are as many bytes again. */
async function outline(map: GridMap, page: Page): Promise<void> {
  const box = get("regionwords");
  try {
    const outlines = await readOutlines(map.box);
    map.setOutlines(outlines);
    box.textContent = "";
    await page.fillRegions(outlines.countries);
  } catch (error) {
    // The map itself is right and stays: only its coast and the choice of a country are missing.
    say(box, `Coast and countries cannot be read: ${reason(error)}.`, () => void outline(map, page));
  }
}
