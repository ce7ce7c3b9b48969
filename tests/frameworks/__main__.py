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
from typing import TYPE_CHECKING

from tests.frameworks import results, runs, s3_requests
from tests.frameworks.environment import Environment
from tests.frameworks.suites import MODULES, Framework
from tests.services import postgres, s3, shared

if TYPE_CHECKING:
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
    parser.add_argument("--jobs", type=int, default=2, help="frameworks at the same time")
    return parser.parse_args()


def check(framework: Framework, urls: dict[str, str], only: str | None) -> list[Result]:
    """Make the environment, and run all parts of one framework."""
    environment = Environment(framework)
    environment.make()
    found: list[Result] = []
    if only in {None, "types"}:
        found.append(runs.types(environment))
    if only in {None, "ours"}:
        found.append(runs.ours(environment, tuple(urls)))
    if only in {None, "suites"}:
        for suite in framework.suites:
            folder = environment.source_of(suite.sdist)
            places = list(urls.items())[: 1 if suite.long and len(urls) < len(PLACES) else None]
            found += [runs.theirs(environment, suite, folder, place, url) for place, url in places]
    for one in found:
        print(one, flush=True)
    return found


def count(frameworks: list[Framework]) -> list[Counted]:
    """Count the requests on S3, one framework after the other."""
    server = s3.connect()
    environments = [Environment(one) for one in sorted(frameworks, key=lambda one: one.title) if one.on_s3]
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
        frameworks.sort(key=lambda one: not one.is_long)  # first, so that nobody waits for them at the end
        with ThreadPoolExecutor(told.jobs) as pool:
            tried = pool.map(lambda one: check(one, {name: urls[name] for name in chosen}, told.only), frameworks)
            found = [result for each in tried for result in each]
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
