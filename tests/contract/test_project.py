"""The project's files agree with each other, and name no machine."""

from __future__ import annotations

import itertools
import re
from importlib import metadata

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.contract.repository import PACKAGES, ROOT, read_pyproject, source_files, tracked_files

OPTIONAL = ("ray", "s3fs")
"""What no test needs: heavy, or of use with an object store only."""

MAX_LINES = 400

# Folders of the machines this was built on, and hosts and mirrors that only some machines reach.
MACHINE_PATHS = re.compile(rb"(?<![\w.~$}])/(?:work|root|home)/")
REGISTRY_HOSTS = re.compile(rb"(?:pypi|pythonhosted|npmjs|debian)\.(?:org|com)\b|file:/{2,}\w")


def test_changelog_names_the_version_of_the_project() -> None:
    versions = re.findall(r"^## \[(\d[^\]]*)\] - \d{4}-\d\d-\d\d$", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert versions[0] == read_pyproject()["project"]["version"]
    assert versions == sorted(versions, key=Version, reverse=True)


def test_every_package_on_disk_is_installed() -> None:
    on_disk = {".".join(path.parent.relative_to(ROOT).parts) for path in source_files()}
    assert sorted(read_pyproject()["tool"]["setuptools"]["packages"]) == sorted(on_disk)


def test_packages_say_that_they_are_typed() -> None:
    assert [package for package in PACKAGES if not (ROOT / package / "py.typed").is_file()] == []


def test_no_source_file_is_too_long() -> None:
    lengths = {
        path.relative_to(ROOT).as_posix(): len(path.read_text().splitlines()) for path in source_files()
    }
    assert {path: lines for path, lines in lengths.items() if lines > MAX_LINES} == {}


@pytest.mark.parametrize("pattern", [MACHINE_PATHS, REGISTRY_HOSTS], ids=["paths", "hosts"])
def test_tracked_files_name_no_machine(pattern: re.Pattern[bytes]) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.decode(errors='replace')[:120]}"
        for path in tracked_files()
        for number, line in enumerate(path.read_bytes().splitlines(), start=1)
        if pattern.search(line)
    ]
    assert found == []


def test_constraints_pin_all_that_is_installed_within_what_is_asked_for() -> None:
    pins = _read_pins()
    for requirement in _requirements():
        name = canonicalize_name(requirement.name)
        assert name in pins, f"{name} has no pin in constraints.txt"
        assert requirement.specifier.contains(pins[name]), f"{name}=={pins[name]} is not within {requirement}"


def test_constraints_are_exact_and_of_no_machine() -> None:
    for name, version in _read_pins().items():
        assert Version(version).local is None, f"{name}=={version} exists on some machines only"


def test_documents_name_targets_that_make_has() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    for document in ("README.md", "CONTRIBUTING.md"):
        named = set(re.findall(r"(?:`|^(?:    |\$ )?)make ([a-z]+)", (ROOT / document).read_text(), re.M))
        assert {"test"} <= named <= targets, document


def test_every_target_is_explained() -> None:
    makefile = (ROOT / "Makefile").read_text()
    phony = re.search(r"^\.PHONY: (.*)$", makefile, re.M)
    assert phony is not None
    assert set(phony[1].split()) == set(re.findall(r"^([a-z]+):.*## \S", makefile, re.M))


def test_links_between_documents_lead_somewhere() -> None:
    broken = [
        f"{document.relative_to(ROOT)}: {target}"
        for document in tracked_files()
        if document.suffix == ".md"
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", document.read_text())
        if "://" not in target and not (document.parent / target).exists()
    ]
    assert broken == []


def _requirements() -> list[Requirement]:
    """What the project with all its extras asks for, directly and through what is installed.

    An extra that development does not install is seen as far as it goes here: what it asks for itself.
    """
    project = read_pyproject()["project"]
    lines = [project["dependencies"], *project["optional-dependencies"].values()]
    pending = [Requirement(line) for line in itertools.chain.from_iterable(lines)]
    found: dict[str, Requirement] = {}
    while pending:
        requirement = pending.pop()
        if str(requirement) in found or requirement.name == project["name"]:
            continue
        found[str(requirement)] = requirement
        try:
            asks_for = metadata.requires(requirement.name) or []
        except metadata.PackageNotFoundError:
            assert requirement.name in OPTIONAL, f"{requirement.name} is not installed"
            continue
        for needed in map(Requirement, asks_for):
            extras = [{"extra": extra} for extra in ("", *requirement.extras)]
            if needed.marker is None or any(map(needed.marker.evaluate, extras)):
                pending.append(needed)
    return list(found.values())


def _read_pins() -> dict[str, str]:
    """Pins by canonical name; anything but `name==version` fails."""
    pins: dict[str, str] = {}
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        match = re.fullmatch(r"([A-Za-z0-9._-]+)==([^\s=]+)", line)
        assert match is not None, f"constraints.txt: {line!r} is not an exact pin"
        pins[canonicalize_name(match[1])] = match[2]
    return pins
