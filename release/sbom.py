"""Writes an SBOM for each extra, as CycloneDX JSON, from the locked packages: `python -m release.sbom dist/sbom`."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from release.lock import ROOT, Pin, closure, extras, pins


def component(pin: Pin) -> Component:
    """Return a package with the hashes of its files, and the marker under which it is installed."""
    url = PackageURL("pypi", name=pin.name, version=pin.version)
    marker = [Property(name="stowfast:marker", value=pin.marker)] if pin.marker else []
    return Component(
        type=ComponentType.LIBRARY,
        name=pin.name,
        version=pin.version,
        purl=url,
        bom_ref=url.to_string(),
        properties=marker,
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest) for digest in pin.hashes],
    )


def sbom(extra: str) -> str:
    """Return the SBOM of one extra: the packages it installs, and the dependencies between them."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    root = Component(
        type=ComponentType.LIBRARY,
        name=project["name"],
        version=project["version"],
        bom_ref=f"{project['name']}[{extra}]",
    )
    bom = Bom()
    bom.metadata.component = root
    direct = extras()[extra]
    found = closure(direct, pins())
    components = {pin: component(pin) for pin in found}
    bom.components.update(components.values())
    bom.register_dependency(root, [components[pin] for pin in found if pin.name in direct])
    for pin, made in components.items():
        bom.register_dependency(made, [components[other] for other in found if pin.name in other.needed_by])
    return JsonV1Dot6(bom).output_as_string(indent=2)


def main(folder: Path) -> None:
    """Write `<extra>.cdx.json` for each extra, and `core.cdx.json` for an installation without extras."""
    folder.mkdir(parents=True, exist_ok=True)
    for extra in extras():
        (folder / f"{extra}.cdx.json").write_text(sbom(extra) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
