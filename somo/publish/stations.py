"""Where the stations are that the networks learnt from, as GeoJSON."""

import json

import pandas as pd


def stations_geojson(sensors: pd.DataFrame) -> bytes:
    """A point for each station with a sensor in use, and the layers it measures.

    Parameters
    ----------
    sensors : one row a sensor: archive, network, station, latitude, longitude, layer, kept
    """
    used = sensors[sensors["kept"]]
    features = [
        {
            "type": "Feature",
            "geometry": {"type": "Point", "coordinates": [round(lon, 5), round(lat, 5)]},
            "properties": {"network": network, "station": station, "layers": sorted(set(rows["layer"].astype(str)))},
        }
        for (network, station), rows in used.groupby(["network", "station"])
        for lat, lon in sorted(set(zip(rows["latitude"].astype(float), rows["longitude"].astype(float), strict=True)))
    ]
    return json.dumps({"type": "FeatureCollection", "features": features}, ensure_ascii=False).encode()
