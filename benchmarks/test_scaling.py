"""How time grows with K, M, N and the batch; `python -m benchmarks.page` draws it."""

from __future__ import annotations

from benchmarks.scaling import measure
from benchmarks.side_by_side import Row
from dmoe_gym.io.files import write_json

SCALING = "output/scaling.json"


def test_growth(benchmark, report):
    records = []
    benchmark.pedantic(lambda: records.extend(measure()), rounds=1, iterations=1)
    write_json(SCALING, {"records": records})
    for record in records:
        least, most = record["values"][0], record["values"][-1]
        report(
            Row(
                f"{record['curve']}: growth with {record['against']} from {least} to {most}",
                "power law, least squares in logarithms",
                record["slope"],
                unit="(exponent)",
                details={"first_us": 1e6 * record["seconds"][0], "last_us": 1e6 * record["seconds"][-1]},
            )
        )
