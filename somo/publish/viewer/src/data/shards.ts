/** Where the chunks of a shard lie: each object has a table of them at its end, without which none of it can be read. */

import type { Store, Stored } from "./store";

/** Bytes of a chunk's offset and length in the table, and of the table's checksum (Zarr's `sharding_indexed`). */
const ENTRY_BYTES = 16;
const CHECKSUM_BYTES = 4;

interface Metadata {
  shape: number[];
  chunk_grid: { configuration: { chunk_shape: number[] } };
  codecs: { name: string; configuration: { chunk_shape: number[]; index_codecs: { name: string }[]; index_location?: string } }[];
}

/**
 * Have the tables at hand that a selection of an array needs, so that reading takes one request a shard later and not
 * two in turn. The tables of a European map are 60 kB, its chunks above a megabyte.
 *
 * `axis` is that of time; `reach` is how many shards before and after the selected one are looked at, too.
 */
export async function readTables(array: Stored, selection: (number | null)[], axis: number, reach: number): Promise<void> {
  const metadata = await array.store.get(`${array.path}/zarr.json` as const);
  const { chunk_grid, codecs, shape } = JSON.parse(new TextDecoder().decode(metadata)) as Metadata;
  const sharding = codecs.find(({ name }) => name === "sharding_indexed")?.configuration;
  if (!sharding || sharding.index_location === "start") return;
  const lengths = chunk_grid.configuration.chunk_shape;
  const chunks = lengths.reduce((product, length, i) => (product * length) / sharding.chunk_shape[i]!, 1);
  const checksum = sharding.index_codecs.some(({ name }) => name === "crc32c") ? CHECKSUM_BYTES : 0;
  let shards: number[][] = [[]];
  lengths.forEach((length, i) => {
    const at = selection[i] == null ? null : Math.floor(selection[i] / length);
    const along = Array.from({ length: Math.ceil(shape[i]! / length) }, (_, shard) => shard);
    const wanted = at === null ? along : along.filter((shard) => Math.abs(shard - at) <= (i === axis ? reach : 0));
    shards = shards.flatMap((coordinates) => wanted.map((shard) => [...coordinates, shard]));
  });
  // The same request as reading makes, which then finds its bytes in the store's cache.
  await Promise.all(shards.map((shard) => readTable(array, shard, ENTRY_BYTES * chunks + checksum)));
}

async function readTable({ store, path }: { store: Store; path: `/${string}` }, shard: number[], suffixLength: number): Promise<void> {
  await store.getRange(`${path}/c/${shard.join("/")}` as const, { suffixLength });
}
