"""Tables that an agent made, as pandas frames: rows of a dataset, and a CSV file."""

from __future__ import annotations

import sys

import pandas as pd

import stowfast.sync


def main(url: str) -> None:
    with stowfast.sync.open(url) as stores:
        columns = {"city": "string", "people": "integer", "area": "number?"}
        with stores.artifacts.open_dataset("cities", columns=columns) as dataset:  # rows are checked as they come
            dataset.append([{"city": "Paris", "people": 2_103_000, "area": 105.4}])
            dataset.append([{"city": "Ulm", "people": 129_000}])
        cities = stores.artifacts.to_pandas("cities")
        print(cities["people"].sum(), "people in", len(cities), "cities")

        stores.artifacts.put(stowfast.Artifact(artifact_id="prices.csv", content="day,price\n1,9.5\n2,10.5\n"))
        with stores.artifacts.open_file("prices.csv") as file:  # reads the parts that pandas asks for
            prices = pd.read_csv(file)
        print("mean price", prices["price"].mean())


if __name__ == "__main__":
    main(*sys.argv[1:] or ["sqlite:///tables.db"])
