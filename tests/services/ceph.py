"""A real S3 server on one machine: Ceph's object gateway over one monitor and one disk, all in one folder.

    python -m tests.services.ceph start DIR     (stop DIR, status DIR, install)

Tried with Ceph 16 on Debian 12: up in some seconds, about 1 GB of memory, no manager daemon, no root but to install.
It is right where fakes are not: a conditional PUT is atomic. Two things are its own: it wants the ETag of `If-Match`
without its quotes, and most of those who lose a race are told 500, not 412. What they wrote is not there.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import uuid
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING

from tests.services.bucket import REGION, create_bucket
from tests.services.process import HOST, Daemon, ServiceError, answers, free_port, tail, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

PACKAGES = ("radosgw", "ceph-mon", "ceph-osd")
PROGRAMS = (*PACKAGES, "ceph", "ceph-authtool", "monmaptool", "radosgw-admin")
SETTINGS_READERS = {"ceph", "ceph-mon", "ceph-osd", "radosgw-admin"}
PATIENCE = 60  # seconds for each step; one takes four at most on two busy cores


def installed() -> bool:
    return all(map(shutil.which, PROGRAMS))


def can_install() -> bool:
    return sys.platform == "linux" and shutil.which("apt-get") is not None and os.geteuid() == 0


def install() -> None:
    """Have the packages: of Debian and Ubuntu, as root. Tried twice, as a mirror may be in the middle of an update."""
    if installed():
        return
    if not can_install():
        raise ServiceError(f"Ceph is not installed; on Debian or Ubuntu: apt-get install {' '.join(PACKAGES)}")
    print(f"Ceph is not installed: apt-get install {' '.join(PACKAGES)} ...", flush=True)
    apt = ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=120"]
    env = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    said = ""
    for _ in range(2):
        for command in ([*apt, "update"], [*apt, "install", "--yes", "--no-install-recommends", *PACKAGES]):
            try:
                done = subprocess.run(
                    command, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=600, check=False
                )
                said = done.stdout[-1000:] + done.stderr[-1000:]
            except subprocess.TimeoutExpired:
                said = f"{' '.join(command)} took more than 600 s"
        if installed():
            return
    raise ServiceError(f"Ceph could not be installed:\n{said}")


class Gateway:
    """One `radosgw`: an S3 endpoint over the cluster. A kill loses nothing."""

    def __init__(self, ceph: Ceph, name: str, port: int) -> None:
        self.ceph = ceph
        self.name = name
        self.port = port
        self.endpoint = f"http://{HOST}:{port}"

    def start(self) -> None:
        """Returns when it answers."""
        # Without tcp_nodelay every GET waits 45 ms for an acknowledgement.
        frontend = f"beast endpoint={HOST}:{self.port} tcp_nodelay=1"
        self.ceph.launch(self.name, "radosgw", "-n", "client.rgw", f"--rgw-frontends={frontend}")
        self.ceph.wait_for(self.name, lambda: answers(self.port))

    def kill(self) -> None:
        self.ceph.daemon(self.name).kill()

    def stop(self) -> None:
        # Asked to, it takes five seconds to end; killed, it loses nothing that it has answered.
        self.kill()


class Ceph:
    """The cluster in `folder`. Any process that names the same folder can use it and stop it."""

    access_key = "stowfast"
    secret_key = "stowfast-tests-only"

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()  # the daemons change directory
        self.conf = self.folder / "ceph.conf"
        self._keyring = self.folder / "keyring"
        self._port = self.folder / "port"

    @property
    def main(self) -> Gateway:
        """The shared gateway."""
        try:
            return Gateway(self, "rgw", int(self._port.read_text(encoding="utf-8")))
        except FileNotFoundError:
            raise ServiceError(f"{self.folder} holds no Ceph") from None

    @property
    def endpoint(self) -> str:
        return self.main.endpoint

    def start(self) -> None:
        """Make a cluster in an empty folder. It answers at the return, or nothing is left."""
        install()
        if self.folder.exists() and any(self.folder.iterdir()):
            raise ServiceError(f"{self.folder} is not empty: stop what is there, and remove it")
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def _start(self) -> None:
        fsid, disk = str(uuid.uuid4()), str(uuid.uuid4())
        monitor = f"[v2:{HOST}:{free_port()},v1:{HOST}:{free_port()}]"
        self.conf.write_text(self._settings(fsid, monitor), encoding="utf-8")
        self._make_keys()
        for name in ("mon", "osd"):
            (self.folder / name).mkdir()
        monmap = str(self.folder / "monmap")
        self.run("monmaptool", "--create", "--fsid", fsid, "--addv", "a", monitor, monmap)
        self.run("ceph-mon", "--mkfs", "-i", "a", "--monmap", monmap)
        self.launch("mon", "ceph-mon", "-i", "a")
        self.run("ceph", "osd", "new", disk, "0")
        self.run("ceph", "auth", "import", "-i", str(self._keyring))
        self.run("ceph-osd", "--mkfs", "-i", "0", "--osd-uuid", disk)
        self._start_disk()
        who = ("--uid=stowfast", "--display-name=stowfast")
        keys = (f"--access-key={self.access_key}", f"--secret-key={self.secret_key}")
        self._port.write_text(str(free_port()), encoding="utf-8")
        self.main.start()
        self.run("radosgw-admin", "user", "create", *who, *keys)
        (self.folder / "env").write_text(self.exports(), encoding="utf-8")

    def stop(self) -> None:
        """End every process of this folder, all gateways included. Logs and data stay."""
        # The gateways need the disk and the monitor to end in peace, the disk needs the monitor.
        for name in sorted((file.stem for file in self.folder.glob("*.pid")), reverse=True):
            daemon = self.daemon(name)
            daemon.kill() if name.startswith("rgw") else daemon.end()

    def exports(self) -> str:
        """The environment variables for S3's tools, as in the file `env`."""
        keys = f"AWS_ACCESS_KEY_ID={self.access_key} AWS_SECRET_ACCESS_KEY={self.secret_key}"
        return f"export AWS_ENDPOINT_URL={self.endpoint} AWS_REGION={REGION} AWS_ALLOW_HTTP=true\nexport {keys}\n"

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def kill_gateway(self) -> None:
        """SIGKILL, as after a power cut: for every user of the cluster. See `gateway`."""
        self.main.kill()

    def restart_gateway(self) -> None:
        self.main.start()

    def gateway(self) -> Gateway:
        """Start one more gateway: its kill disturbs no user of another."""
        gateway = Gateway(self, f"rgw-{uuid.uuid4().hex[:8]}", free_port())
        gateway.start()
        return gateway

    def kill_disk(self) -> None:
        """SIGKILL the daemon of the data. Every gateway waits for it, none answers."""
        self.daemon("osd").kill()

    def restart_disk(self) -> None:
        """Returns when it is up again."""
        # The monitor may not have noticed, and would say of the dead one that it is up.
        self.run("ceph", "osd", "down", "0")
        self._start_disk()
        self.wait_for("osd", lambda: "1 up" in self.run("ceph", "osd", "stat"))

    def _start_disk(self) -> None:
        self.launch("osd", "ceph-osd", "-i", "0")

    def create_bucket(self, name: str) -> None:
        create_bucket(name, self.endpoint, self.access_key, self.secret_key)

    def daemon(self, name: str) -> Daemon:
        return Daemon(self.folder / f"{name}.pid")

    def launch(self, name: str, program: str, *arguments: str) -> None:
        # In the foreground, so that the id is known from the first moment.
        log = self.folder / f"{name}.log"
        self.daemon(name).start([program, "-f", "-c", str(self.conf), f"--log-file={log}", *arguments], log)

    def wait_for(self, name: str, done: Callable[[], bool]) -> None:
        daemon = self.daemon(name)
        wait_until(lambda: done() or not daemon.running(), PATIENCE)
        if not daemon.running() or not done():
            state = f"does not answer after {PATIENCE} s" if daemon.running() else "ended at once"
            raise ServiceError(f"{name} {state}\n{tail([self.folder / f'{name}.log'])}")

    def run(self, *command: str) -> str:
        """Run one step within a time limit, as Ceph's tools wait minutes for a missing monitor. Return its output."""
        command = (command[0], "-c", str(self.conf), *command[1:]) if command[0] in SETTINGS_READERS else command
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
            if done.returncode == 0:
                return done.stdout
            failed = f"ended with {done.returncode}: {done.stderr[-2000:]}"
        except subprocess.TimeoutExpired:
            failed = f"took more than {PATIENCE} s"
        raise ServiceError(f"{' '.join(command)}\n{failed}\n{tail(self.folder.glob('*.log'))}")

    def _make_keys(self) -> None:
        everything = ("--cap", "osd", "allow *", "--cap", "mgr", "allow *")
        for name, caps in {
            "mon.": (),
            "client.admin": everything,
            "client.rgw": everything,
            "osd.0": everything,
        }.items():
            new = () if self._keyring.exists() else ("--create-keyring",)
            mon = ("--cap", "mon", "allow profile osd" if name == "osd.0" else "allow *")
            self.run("ceph-authtool", str(self._keyring), *new, "--gen-key", "-n", name, *mon, *caps)

    def _settings(self, fsid: str, monitor: str) -> str:
        # Every path is absolute: the daemons change directory. No admin socket: its path may have 107 characters.
        return dedent(f"""\
            [global]
            fsid = {fsid}
            mon host = {monitor}
            auth cluster required = cephx
            auth service required = cephx
            auth client required = cephx
            auth allow insecure global id reclaim = true
            keyring = {self._keyring}
            run dir = {self.folder}
            crash dir = {self.folder}
            admin socket =
            mon data = {self.folder}/mon
            osd data = {self.folder}/osd
            rgw data = {self.folder}
            public network = 127.0.0.0/8
            ms bind ipv6 = false
            osd objectstore = bluestore
            bluestore block size = 34359738368
            osd pool default size = 1
            osd pool default min size = 1
            osd pool default pg num = 8
            osd pool default pg autoscale mode = off
            osd crush chooseleaf type = 0
            mon max pg per osd = 1000
            # Much in a new cluster waits for the monitor's next proposal: so it is up in 6 s instead of 15.
            paxos propose interval = 0.05
            paxos min wait = 0.02
            # A gateway that is killed keeps others from making buckets until it is given up: 5 s instead of 30.
            osd client watch timeout = 5
            objecter tick interval = 1
            # A fifth of a request's time goes into lines of logs that nobody keeps, and into checks of a local wire.
            debug rgw = 0/0
            debug osd = 0/0
            debug ms = 0/0
            debug bluestore = 0/0
            debug bluefs = 0/0
            debug bdev = 0/0
            debug rocksdb = 0/0
            debug objecter = 0/0
            ms crc data = false
            osd enable op tracker = false
            cephx sign messages = false
            """)


def main(arguments: list[str]) -> int:
    match arguments:
        case ["install"]:
            install()
        case ["start", folder]:
            ceph = Ceph(Path(folder))
            ceph.start()
            print(ceph.exports(), end="")
        case ["stop", folder]:
            Ceph(Path(folder)).remove()
        case ["status", folder]:
            ceph = Ceph(Path(folder))
            for file in sorted(ceph.folder.glob("*.pid")):
                print(f"{file.stem}: {'running' if ceph.daemon(file.stem).running() else 'ended'}")
            print(f"{ceph.endpoint}: {'answers' if answers(ceph.main.port) else 'does not answer'}")
        case _:
            print(__doc__, file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except ServiceError as error:
        sys.exit(f"{error}")
