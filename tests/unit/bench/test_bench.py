"""The bench runs: its modules can be imported, and this project's contenders do each workload on a SQLite file."""

from __future__ import annotations

import importlib
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bench.harness.contender import once, started
from bench.suites.artifacts.workloads import STREAMED
from bench.suites.artifacts.workloads import Job as ArtifactJob
from bench.suites.sqlite import report
from bench.suites.sqlite.imports import measure_import
from bench.suites.sqlite.processes import add_crowds
from bench.suites.sqlite.workloads import CONTENDERS, OURS, QUICK, RAW
from bench.suites.tasks.workloads import CONTENDERS as TASK_CONTENDERS
from bench.suites.tasks.workloads import Job as TaskJob

if TYPE_CHECKING:
    from bench.harness.rounds import Results

ROOT = Path(__file__).parents[3]
MODULES = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in sorted((ROOT / "bench").rglob("*.py"))]
OF_PEERS = {"agents", "google", "langchain_core", "langgraph", "langgraph_checkpoint_objectstorage", "strands"}
"""Packages of the peers' environments. The tests do not install them."""

SMALLEST = replace(
    QUICK,
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
    with started("sqlite", {name: CONTENDERS[name] for name in (RAW, *OURS)}) as contenders:
        for contender in contenders:
            for workload in WORKLOADS:
                figures = report.ask(contender, workload, tmp_path, SMALLEST)
                assert "error" not in figures, figures["error"]
                results[workload][contender.name].append(figures)
    for workload in WORKLOADS:
        for peer in CONTENDERS.keys() - {RAW, *OURS}:
            results[workload][peer].append({"error": "not installed"})
    add_crowds(results, tmp_path, (2,), 3, ours_first=True)
    assert not list(tmp_path.glob("*.2.db*"))
    judged = report.bars(results, {"error": "not measured"})
    assert [bar.promise for bar in judged if bar.spread] == [
        "append, async: waits / by hand",
        "append, async: CPU / by hand",
        "append, sync: CPU / by hand",
        "last 20, sync: CPU / by hand",
        "append, async / by hand",
        "append, sync / by hand",
        "last 20, sync / by hand",
        "last 20, async",
    ]
    report.show(judged, results)
    shown = capsys.readouterr().out
    assert "not measured" in shown
    assert "p90 / p10 of an append by hand" in shown
    assert "2 processes: Stowfast, sync" in shown
    assert "failed" not in shown.partition("Processes on one file")[2]


def test_import_is_timed_beside_the_usual_imports_and_an_opened_file() -> None:
    measured = measure_import(1)
    assert "error" not in measured, measured["error"]
    assert measured["unwanted"] == []
    assert measured["bare"] < measured["first_open"]
    bars = report.bars(defaultdict(lambda: defaultdict(list)), measured)
    assert [bar.promise for bar in bars if bar.spread] == [
        "import stowfast / usual imports",
        "import and open, less 3 ms / usual",
    ]


def test_an_artifact_is_written_and_read_in_a_sqlite_file(tmp_path: Path) -> None:
    job = ArtifactJob(workload="stream", location=str(tmp_path / "a.db"), size=1)
    assert {"write", "read", "peak"} <= once("artifacts", STREAMED["stowfast"], job).keys()


def test_a_task_is_saved_and_loaded_in_a_sqlite_file(tmp_path: Path) -> None:
    job = TaskJob(workload="edit", location=str(tmp_path / "tasks.db"), kind="text", count=4)
    with started("tasks", {"stowfast_sqlite": TASK_CONTENDERS["stowfast_sqlite"]}) as (contender,):
        edited = contender.ask(job)
        turned = contender.ask(replace(job, workload="turn", first=edited.get("version", 4), count=1))
    assert "error" not in edited | turned, (edited, turned)
