"""Object storage and forks: the driver's threads do not come through one, and a child is told so at once."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from tests.services.faulty_s3.server import FaultyS3

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")

SCRIPT = """
import os, sys, warnings
import stowfast, stowfast.sync

warnings.simplefilter("ignore", DeprecationWarning)
url, parent, closed = sys.argv[1], sys.argv[2] == "uses", sys.argv[3] == "closes"
if parent:
    stores = stowfast.sync.open(url, timeout=3)
    stores.messages.add_message("c", {})
    if closed:
        stores.close()
child = os.fork()
if child == 0:
    code = 9
    try:
        if parent and not closed:
            try:
                stores.messages.add_message("c", {})
            except stowfast.InvalidError as error:
                print(error, flush=True)
        with stowfast.sync.open(url, timeout=3) as own:
            print("position", own.messages.add_message("c", {}), flush=True)
        code = 0
    except stowfast.InvalidError as error:
        print(error, flush=True)
        code = 3
    finally:
        os._exit(code)
_, status = os.waitpid(child, 0)
print("child", os.waitstatus_to_exitcode(status))
if parent and not closed:
    stores.messages.add_message("c", {})
    stores.close()
"""


def run(parent: str, closed: str) -> str:
    with FaultyS3() as server:
        url = f"s3://bucket?endpoint_url={server.endpoint}&anonymous=true"
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, url, parent, closed], capture_output=True, text=True, timeout=60, check=False
        )
        print(f"{parent}, {closed}: {time.monotonic() - began:.1f} s\n{done.stdout}{done.stderr}")
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.mark.parametrize("closed", ["closes", "leaves it open"])
def test_a_child_of_a_process_that_used_the_driver_is_refused_at_once(closed: str) -> None:
    said = run("uses", closed)
    assert "child 3" in said
    assert said.count("spawn or forkserver") == (1 if closed == "closes" else 2)
    assert "forked" in said


def test_a_child_of_a_process_that_did_not_use_it_opens_it() -> None:
    assert "position 0\nchild 0" in run("does not use", "closes")
