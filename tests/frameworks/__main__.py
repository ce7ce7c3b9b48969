"""Run the adapters' tests and the frameworks' own suites: `make test-frameworks`.

    python -m tests.frameworks [MODULE ...] [--places sqlite,postgres] [--only types|ours|suites|requests] [--write]

Each framework has an environment of its own in `.frameworks/`, installed by the hashes of `requirements/frameworks/`.
The suites come from the source distributions of the frameworks, from the package index, and run with Stowfast in the
place of the framework's own store. With `--places s3` the requests on S3 are counted, beside those of the framework's
own store there. `--write` writes the tables into the docs.
"""

from __future__ import annotations

import argparse
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from tests.frameworks import results, runs, s3_requests
from tests.frameworks.environment import Environment
from tests.frameworks.suites import MODULES, Framework
from tests.services import postgres, s3, shared

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.frameworks.results import Result
    from tests.frameworks.s3_requests import Counted

PLACES = ("memory", "sqlite", "postgres", "s3")
PARTS = ("types", "ours", "suites", "requests")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.frameworks")
    parser.add_argument("modules", nargs="*", choices=[*MODULES, []], help="all without one")
    parser.add_argument("--places", default="sqlite,postgres", help=f"of {','.join(PLACES)}; or all")
    parser.add_argument("--only", choices=PARTS, help="one part alone")
    parser.add_argument("--write", action="store_true", help="write what was run into docs/frameworks/index.md")
    parser.add_argument("--jobs", type=int, default=3, help="runs at the same time: most wait for a server")
    return parser.parse_args()


class Run(NamedTuple):
    """One run of tests."""

    start: Callable[[], Result]
    is_long: bool = False


def runs_of(framework: Framework, urls: dict[str, str], only: str | None) -> Iterator[Run]:
    """Return the runs of one framework. Any of them may be the first: each makes the environment if it is missing."""
    environment = Environment(framework)
    if only in {None, "types"}:
        yield Run(lambda: runs.types(environment))
    if only in {None, "ours"}:
        yield Run(lambda: runs.ours(environment, tuple(urls)), framework.is_long)
    if only in {None, "suites"}:
        for suite in framework.suites:
            for place in list(urls)[: 1 if suite.long and len(urls) < len(PLACES) else None]:
                yield Run(partial(runs.theirs, environment, suite, place, urls[place]), suite.long)


def tell(run: Run) -> Result:
    result = run.start()
    print(result, flush=True)
    return result


def count(frameworks: list[Framework]) -> list[Counted]:
    """Count the requests on S3, one framework after the other."""
    server = s3.connect()
    environments = [Environment(one) for one in sorted(frameworks, key=lambda one: one.title) if one.on_s3]
    for environment in environments:
        environment.make()
    return [each for environment in environments for each in s3_requests.counted(environment, server)]


def main() -> int:
    told = arguments()
    chosen = PLACES if told.places == "all" else tuple(told.places.split(","))
    if told.only == "requests":
        chosen = ("s3",)
    with ExitStack() as stack:
        stack.enter_context(shared.run())
        urls = {"memory": "memory:", "sqlite": "sqlite:"}
        if "postgres" in chosen:
            postgres.install()
            urls["postgres"] = postgres.PostgresServer(os.environ.get(postgres.NAMED) or shared.share("postgres")).url()
        if "s3" in chosen:
            s3.prepare()
            server = s3.connect()
            os.environ.update({name: value for name, value in server.environment.items() if value is not None})
            urls["s3"] = server.url()
        whole = told.write or chosen == PLACES
        frameworks = [Framework.load(name, whole=whole) for name in told.modules or MODULES]
        if told.only == "requests":
            frameworks = [one for one in frameworks if one.on_s3]
        places = {name: urls[name] for name in chosen}
        every = [run for one in frameworks for run in runs_of(one, places, told.only)]
        with ThreadPoolExecutor(told.jobs) as pool:
            # The long ones first, so that nobody waits for them alone at the end.
            begun = {run: pool.submit(tell, run) for run in sorted(every, key=lambda run: not run.is_long)}
        found = [begun[run].result() for run in every]
        asked = count(frameworks) if "s3" in chosen and told.only in {None, "requests"} else []
    print(results.table(found), s3_requests.table(asked), sep="\n")
    failed = [one for one in found if not one.is_good]
    for one in failed:
        print(f"FAILED {one}", file=sys.stderr)
    complete = whole and not told.modules and told.only in {None, "suites"}
    if told.write:
        results.write(found, asked)
    elif complete and not results.is_written(found):
        # No failure: a framework's own tests may skip other ones on another machine.
        print("docs/frameworks/index.md has another table: run with --write", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
