"""What is built and published: names no place, agrees with itself, and keeps the house's own limits."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES = [ROOT / each for each in PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]]
MODULES = sorted(module for package in PACKAGES for module in package.rglob("*.py"))
MAX_MODULE_LINES = 400
MAX_FUNCTION_LINES = 60
MACHINE_PATH = re.compile(r"(?<![\w.:}])/(?:home|root|Users|mnt|work|workspace)/[\w.-]")
"""A folder of somebody's machine; what is published is used elsewhere."""
ADDRESS = re.compile(
    r"https?://(?!127\.0\.0\.1|localhost|maven\.apache\.org/POM|www\.w3\.org|www\.apache\.org/licenses)"
)
BUILD = re.compile(r"(?:pyproject\.toml|constraints\.txt|Makefile|tools/.*|\.ci/.*|docker/.*)")
"""Files that install: which index or mirror is used is the installer's own configuration."""
TEXT = {".py", ".toml", ".md", ".txt", ".xml", ".sql", ".js", ".json", ".css", ".html", ".svg", ".yaml", ".yml", ""}


@cache
def committed() -> tuple[Path, ...]:
    """Files of the checkout that are published, as text."""
    done = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z", "-c", "-o", "--exclude-standard"],
        capture_output=True,
        text=True,
        check=False,
    )
    names = (
        done.stdout.split("\0") if done.returncode == 0 else [str(path.relative_to(ROOT)) for path in ROOT.rglob("*")]
    )
    return tuple(
        path
        for name in names
        if name and (path := ROOT / name).suffix in TEXT and path.is_file() and ".venv" not in path.parts
    )


def pins() -> dict[str, str]:
    """Package to version, as constraints.txt has them."""
    found = {}
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        requirement = line.partition(";")[0].strip()
        assert re.fullmatch(r"[a-z0-9-]+==[A-Za-z0-9.!+]+", requirement), f"not a pinned name: {line!r}"
        name, _, version = requirement.partition("==")
        found[name] = version
    return found


def requirements() -> dict[str, str]:
    """Package to version range of every extra; our own extras are left out."""
    project = PROJECT["project"]
    every = [*project["dependencies"], *(each for extra in project["optional-dependencies"].values() for each in extra)]
    matches = [re.match(r"([A-Za-z0-9-]+)(?:\[[^]]*\])?\s*(.*)", each) for each in every]
    return {match[1].lower(): match[2] for match in matches if match and match[1] != "shinkei"}


def test_constraints_are_pins_and_name_no_place() -> None:
    assert len(pins()) > 60
    assert not re.search(r"https?:|@|--|\bfile:|/", (ROOT / "constraints.txt").read_text())


def test_every_requirement_is_pinned_within_its_range() -> None:
    from packaging.specifiers import SpecifierSet

    pinned = pins()
    for name, specifier in requirements().items():
        assert name in pinned, f"{name} is not in constraints.txt: make lock"
        assert SpecifierSet(specifier).contains(pinned[name]), f"{name} {pinned[name]} is not {specifier}: make lock"
    assert {"uv", "hatchling"} <= set(pinned)


def test_no_file_names_a_folder_of_one_machine_and_no_build_file_a_host() -> None:
    found = []
    for path in committed():
        name = str(path.relative_to(ROOT))
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
            if MACHINE_PATH.search(line) or (BUILD.fullmatch(name) and ADDRESS.search(line)):
                found.append(f"{name}:{number}: {line.strip()[:120]}")
    assert not found, "\n".join(found)


def test_the_version_is_said_once() -> None:
    version = PROJECT["project"]["version"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", version)
    others = [path for path in MODULES if re.search(rf"""["']{re.escape(version)}["']""", path.read_text())]
    assert not others, f"ask importlib.metadata instead: {others}"


def test_the_command_starts_what_is_there() -> None:
    module, _, function = PROJECT["project"]["scripts"]["shinkei"].partition(":")
    path = ROOT / "ui" / Path(*module.split(".")).with_suffix(".py")
    assert re.search(rf"^def {function}\(", path.read_text(), re.MULTILINE)


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.name)
def test_every_package_is_typed_and_says_what_it_is(package: Path) -> None:
    assert (package / "py.typed").exists()
    assert not (package.parent / "__init__.py").exists(), "a folder of packages is not a package"
    for folder in {module.parent for module in package.rglob("*.py")}:
        assert (folder / "__init__.py").exists() or folder.name == "screens", (
            f"{folder} is not in the wheel as a package"
        )
    assert ast.get_docstring(ast.parse((package / "__init__.py").read_text()))


def test_modules_and_functions_stay_short() -> None:
    long = []
    for module in MODULES:
        text = module.read_text()
        lines = text.count("\n")
        if lines > MAX_MODULE_LINES:
            long.append(f"{module.relative_to(ROOT)}: {lines} lines")
        functions = [
            node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        ]
        lengths = {node: (node.end_lineno or node.lineno) - node.lineno + 1 for node in functions}
        where = module.relative_to(ROOT)
        long += [
            f"{where}:{node.lineno}: {node.name} has {lines} lines"
            for node, lines in lengths.items()
            if lines > MAX_FUNCTION_LINES
        ]
    assert not long, "\n".join(long)


def test_notice_names_every_package_that_is_installed() -> None:
    named = set(re.findall(r"^  ([a-z0-9-]+) ", (ROOT / "NOTICE").read_text(), re.MULTILINE))
    missing = set(pins()) - named
    assert not missing, f"not in NOTICE: {sorted(missing)}"


def test_the_licence_is_whole() -> None:
    text = (ROOT / "LICENSE").read_text()
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text
    assert len(text) > 11_000
