"""A stand-in for Azure's blob storage: Azurite, Microsoft's own, on Node.

It is installed with npm from the lock file beside this one, into a folder that git ignores. Its conditional writes are
atomic; it keeps all in memory.
"""

from __future__ import annotations

import base64
import email.utils
import hashlib
import hmac
import shutil
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

from tests.services.process import Child, ServiceError

LOCKED = Path(__file__).parent / "azurite"
INSTALLED = Path(__file__).parents[2] / ".venv" / "azurite"
PROGRAM = INSTALLED / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"
NEEDED = "Azurite runs on Node: have node and npm (apt-get install npm), and what it tests runs too"
# Azurite's one account, the same everywhere.
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


def can_install() -> bool:
    return all(map(shutil.which, ("node", "npm")))


def install() -> None:
    """Install the packages of the lock file, by their hashes, without their scripts. Tried twice, as Ceph's are."""
    lock, done = LOCKED / "package-lock.json", INSTALLED / "installed.json"
    if done.exists() and done.read_bytes() == lock.read_bytes():
        return
    if not can_install():
        raise ServiceError(NEEDED)
    print(f"Azurite is not installed: npm ci in {INSTALLED} ...", flush=True)
    shutil.copytree(LOCKED, INSTALLED, dirs_exist_ok=True)
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    said = ""
    for _ in range(2):
        try:
            ran = subprocess.run(command, cwd=INSTALLED, capture_output=True, text=True, timeout=300, check=False)
        except subprocess.TimeoutExpired:
            said = "took more than 300 s"
            continue
        if ran.returncode == 0:
            shutil.copyfile(lock, done)
            return
        said = ran.stderr[-2000:]
    raise ServiceError(f"Azurite could not be installed: {' '.join(command)}\n{said}")


class Azurite(Child):
    """Blobs alone, on a port of its own."""

    def command(self) -> list[str]:
        # The newest version of the protocol that a client speaks is often newer than the one it knows.
        options = ["--inMemoryPersistence", "--disableTelemetry", "--silent", "--skipApiVersionCheck"]
        return ["node", str(PROGRAM), *options, "--blobPort", str(self.port)]

    def start(self) -> None:
        install()
        super().start()


def create_container(name: str, endpoint: str) -> None:
    """There is no client for this in the tests' requirements: obstore speaks of blobs alone."""
    headers = {"x-ms-date": email.utils.formatdate(usegmt=True), "x-ms-version": "2021-08-06"}
    signed = "\n".join(f"{key}:{value}" for key, value in headers.items())
    text = "PUT" + "\n" * 12 + f"{signed}\n/{ACCOUNT}/{ACCOUNT}/{name}\nrestype:container"
    digest = hmac.digest(base64.b64decode(KEY), text.encode(), hashlib.sha256)
    headers["Authorization"] = f"SharedKey {ACCOUNT}:{base64.b64encode(digest).decode()}"
    url = f"{endpoint}/{ACCOUNT}/{name}?restype=container"
    try:
        urllib.request.urlopen(urllib.request.Request(url, method="PUT", headers=headers), timeout=30).close()
    except urllib.error.HTTPError as error:
        with error:
            if error.code != 409:  # it is there already
                raise
