"""What a machine of Amazon's is told about its role: by the container's agent, and by the metadata service of EC2."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

__all__ = ["RoleServer"]

SESSION = "session-of-the-metadata-service"
_ROLES = "/latest/meta-data/iam/security-credentials/"


class RoleServer:
    """Gives credentials, each time others: `role-1` and so on, with the token `token-1`.

    Args:
        lasting: how long they are valid. The driver renews what has less than five minutes left.
        authorization: what must be sent to get those of a container.
    """

    def __init__(self, lasting: timedelta = timedelta(hours=1), authorization: str = "") -> None:
        self.asked: list[str] = []
        """Each request: its method and path."""
        self.given = 0
        self.lasting = lasting
        self.authorization = authorization
        self._lock = threading.Lock()
        role_server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                role_server._answer(self)

            do_PUT = do_GET  # noqa: N815 - as http.server calls it

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        headers = {name.lower(): value for name, value in request.headers.items()}
        with self._lock:
            self.asked.append(f"{request.command} {request.path}")
            status, text = self._say(request.command, request.path, headers)
        body = text.encode()
        request.send_response(status)
        request.send_header("content-length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    def _say(self, method: str, path: str, headers: dict[str, str]) -> tuple[int, str]:
        if method == "PUT" and path == "/latest/api/token":
            return 200, SESSION
        if path.startswith("/container"):
            return (200, self._give()) if headers.get("authorization", "") == self.authorization else (401, "")
        if headers.get("x-aws-ec2-metadata-token") != SESSION:
            return 401, ""
        if path == _ROLES:
            return 200, "the-role"
        return (200, self._give()) if path == f"{_ROLES}the-role" else (404, "")

    def _give(self) -> str:
        self.given += 1
        told = {
            "AccessKeyId": f"role-{self.given}",
            "SecretAccessKey": f"s3cr3t-of-role-{self.given}",
            "Token": f"token-{self.given}",
            "Expiration": (datetime.now(UTC) + self.lasting).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        return json.dumps(told)
