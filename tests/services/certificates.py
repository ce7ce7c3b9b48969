"""Certificates for servers on the loopback, made for one test by openssl."""

from __future__ import annotations

import ssl
import subprocess
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Certificate", "make_certificate", "serving"]


class Certificate(NamedTuple):
    """The files of a certificate and its key."""

    file: Path
    key: Path


def make_certificate(
    folder: Path, name: str, *, issuer: Certificate | None = None, authority: bool = False, host: str = "IP:127.0.0.1",
    days: int = 1,
) -> Certificate:  # fmt: skip
    """Make a certificate, signed by itself if no issuer is given. With days below 0 it is over."""
    made = Certificate(folder / f"{name}.pem", folder / f"{name}.key")
    request = folder / f"{name}.csr"
    _openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}",
             "-keyout", made.key, "-out", request)  # fmt: skip
    extensions = folder / f"{name}.ext"
    extensions.write_text(f"basicConstraints=critical,CA:{str(authority).upper()}\nsubjectAltName={host}\n")
    signed_by: list[str | Path] = ["-signkey", made.key]
    if issuer is not None:
        signed_by = ["-CA", issuer.file, "-CAkey", issuer.key, "-set_serial", "2"]
    _openssl("x509", "-req", "-in", request, *signed_by, "-days", str(days), "-extfile", extensions, "-out", made.file)
    return made


def serving(certificate: Certificate) -> ssl.SSLContext:
    """Return the TLS of a server with a certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.file, certificate.key)
    return context


def _openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=60)
