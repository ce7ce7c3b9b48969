"""The bench runs: its modules can be imported, and this project's contenders do each workload on a SQLite file."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from bench import bars, table
from bench.rounds import CONTENDERS, OURS, RAW, Contender
from bench.tasks.workloads import Job
from bench.workloads import QUICK

if TYPE_CHECKING:
    from bench.rounds import Results

ROOT = Path(__file__).parents[3]
MODULES = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in sorted((ROOT / "bench").rglob("*.py"))]
OF_PEERS = {"agents", "google", "langchain_core", "langgraph", "langgraph_checkpoint_objectstorage", "strands"}
"""Packages of the peers' environments, which the tests do not install."""

SMALLEST = QUICK._replace(
    appends=3,
    append_budget=0.01,
    appenders=4,
    appenders_budget=0.01,
    history=30,
    loads=1,
    lasts=1,
    warm_up=1,
    on_disk=3,
)
WORKLOADS = ("append", "appenders", "disk", "prepare", "load", "last", "memory")


@pytest.mark.parametrize("module", MODULES)
def test_a_module_can_be_imported_where_its_peers_are(module: str) -> None:
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in OF_PEERS:
            raise
        pytest.skip(f"{error.name} is a peer's")


def test_each_workload_on_a_sqlite_file_gives_figures_for_the_tables_and_the_bars(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results: Results = defaultdict(lambda: defaultdict(list))
    for name in (RAW, *OURS):
        contender = Contender.start(name, sys.executable)
        try:
            for workload in WORKLOADS:
                file = "history" if workload in {"prepare", "load", "last", "memory"} else workload
                figures = contender.do(workload, tmp_path / f"{name}.{file}.db", SMALLEST)
                assert "error" not in figures, figures["error"]
                results[workload][name].append(figures)
        finally:
            contender.stop()
    for workload in WORKLOADS:
        for peer in CONTENDERS.keys() - {RAW, *OURS}:
            results[workload][peer].append({"error": "not installed"})
    judged = bars.bars(results, {"error": "not measured"})
    assert [bar.promise for bar in judged if bar.spread] == [
        "append, async / by hand",
        "append, sync / by hand",
        "last 20 of 10,000",
    ]
    table.show(judged, results)
    assert "not measured" in capsys.readouterr().out


def test_an_artifact_is_written_and_read_in_a_sqlite_file(tmp_path: Path) -> None:
    command = ["-m", "bench.artifacts.contenders", "stowfast", f"sqlite:///{tmp_path}/a.db", "1"]
    done = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True, check=True)
    assert {"write", "read", "peak"} <= set(json.loads(done.stdout))


def test_a_task_is_saved_and_loaded_in_a_sqlite_file(tmp_path: Path) -> None:
    job = Job(workload="edit", place=str(tmp_path / "tasks.db"), kind="text", count=4)
    contender = Contender.start("stowfast_sqlite", sys.executable, "bench.tasks.contenders")
    try:
        edited: dict[str, Any] = contender.ask(job._asdict())
        turned = contender.ask(job._replace(workload="turn", first=edited.get("version", 4), count=1)._asdict())
    finally:
        contender.stop()
    assert "error" not in edited | turned, (edited, turned)
