# SPDX-License-Identifier: LGPL-3.0-or-later
"""Whether the package can be built, installed and used from its archives.

    python tests/wheel.py [--python PYTHON ...] [--dependencies]

Builds sdist and wheel from a clean clone of the last commit, with and without git, checks
what is in them, and that the version follows the tags. Then for each Python, by default this
one, it installs the wheel in a new environment and uses it in an empty folder, without a
compiler; and once more one built without a compiler, where Python reads the files.

The new environment sees the dependencies that the given PYTHON has, or with
``--dependencies`` gets its own from pip, some 600 MB. Needs git and a network.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DENSITY = ROOT / "tests" / "data" / "CHGCAR_Al32.gz"
NO_COMPILER = {"CC": "/bin/false", "CXX": "/bin/false"}

# run in the new environment: every module, and every name in its __all__
IMPORTS = """
import importlib, pkgutil, sys
import deepmd_charge
assert deepmd_charge.__file__.startswith(sys.prefix), deepmd_charge.__file__
names = [found.name for found in pkgutil.walk_packages(deepmd_charge.__path__, "deepmd_charge.")]
for name in ["deepmd_charge", *names]:
    if name.endswith("._decimal"):
        continue  # a library, no module of Python
    module = importlib.import_module(name)
    for public in getattr(module, "__all__", ()):
        getattr(module, public)
print(*names)
"""


def main():
    """Build, install and use; ends at the first failure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", nargs="+", default=[sys.executable], help="install for these")
    parser.add_argument("--dependencies", action="store_true", help="install them, too")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="wheel-") as name:
        folder = Path(name)
        clone, exported = folder / "clone", folder / "exported"
        run("git", "clone", "-q", ROOT, clone)
        run("git", "archive", "-o", folder / "exported.tar", "HEAD", cwd=clone)
        shutil.unpack_archive(folder / "exported.tar", exported, filter="data")
        files = run("git", "ls-files", cwd=clone).splitlines()
        for number, python in enumerate(args.python):
            here = folder / str(number)
            builder = environment(here / "builder", python)
            tools = ("build", "setuptools>=77", "setuptools-scm>=8")
            run(builder, "-m", "pip", "install", "-q", *tools)
            if number == 0:
                check_versions(builder, folder / "tagged")
            for source, extra in ((clone, {}), (exported, NO_COMPILER)):
                archives = here / source.name
                # as build does it: an sdist, and a wheel from that
                run(builder, "-m", "build", "-o", archives, source, **extra)
                [sdist], [wheel] = archives.glob("*.tar.gz"), archives.glob("*.whl")
                check_sdist(sdist, files)
                check_wheel(wheel, files, compiled=not extra)
                use(here / f"use-{source.name}", python, wheel, args.dependencies, not extra)
                print(f"{run(python, '--version').strip()}: {wheel.name} is well", flush=True)


def run(*command, cwd=None, **environment):
    """Standard output of a command that must succeed."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": "", **environment},
        text=True,
        capture_output=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return done.stdout


def environment(folder, python):
    """The Python of a new virtual environment."""
    run(python, "-m", "venv", folder)
    return folder / "bin" / "python"


def check_versions(builder, clone):
    """No tag, a tag, a commit after it, no git."""
    run("git", "clone", "-q", ROOT, clone)
    for tag in run("git", "tag", cwd=clone).split():
        run("git", "tag", "-d", tag, cwd=clone)
    found = [version(builder, clone)]
    run("git", "tag", "v3.1.4", cwd=clone)
    found.append(version(builder, clone))
    author = ("-c", "user.name=nobody", "-c", "user.email=nobody@example.org")
    run("git", *author, "commit", "-q", "--allow-empty", "-m", "more", cwd=clone)
    found.append(version(builder, clone))
    print("versions without a tag, on v3.1.4, after it:", *found, flush=True)
    assert ".dev" in found[0] and found[1] == "3.1.4"
    assert found[2].startswith("3.1.5.dev1+g")


def version(builder, source):
    """What a package that is built there would be called."""
    return run(builder, "-m", "setuptools_scm", cwd=source).strip()


def check_sdist(sdist, files):
    """All that git has is in it."""
    with tarfile.open(sdist) as archive:
        found = {name.partition("/")[2] for name in archive.getnames()}
    # but for files that are only the repository's, and a link
    missing = {name for name in files if not name.startswith(".")} - found - {"plugin_configs"}
    assert not missing, f"{sdist.name} lacks {sorted(missing)}: see MANIFEST.in"


def check_wheel(wheel, files, compiled):
    """All modules and tables are in it, the licence, the marker of types; the C code or not."""
    names = zipfile.ZipFile(wheel).namelist()
    package = {name for name in names if name.startswith("deepmd_charge/")}
    kinds = (".py", ".typed", ".json", ".npz", ".csv")
    expected = {n for n in files if n.startswith("deepmd_charge/") and n.endswith(kinds)}
    binaries = {name for name in package if name.startswith("deepmd_charge/io/text/_decimal.")}
    assert len(binaries) == compiled, f"{wheel.name}: {binaries} compiled"
    assert package - binaries == expected, f"{wheel.name}: {(package - binaries) ^ expected}"
    rest = {name.partition("/")[2] for name in names if name not in package}
    assert "licenses/LICENSE" in rest, f"{wheel.name} lacks its licence: {rest}"


def use(folder, python, wheel, dependencies, compiled):
    """Install a wheel and use it in an empty folder, with no program but its own in reach."""
    mine = environment(folder / "environment", python)
    options = [] if dependencies else ["--no-deps"]
    run(mine, "-m", "pip", "install", "-q", *options, wheel, **NO_COMPILER)
    if not dependencies:
        purelib = "import sysconfig; print(sysconfig.get_path('purelib'))"
        theirs, here = run(python, "-c", purelib), run(mine, "-c", purelib)
        Path(here.strip(), "dependencies.pth").write_text(theirs)
    empty = folder / "empty"
    empty.mkdir()
    (empty / "CHGCAR.gz").write_bytes(DENSITY.read_bytes())
    alone = {"PATH": str(mine.parent), "TF_CPP_MIN_LOG_LEVEL": "3", **NO_COMPILER}

    def deepmd_charge(*arguments):
        return run(mine.parent / "deepmd-charge", *arguments, cwd=empty, **alone)

    assert deepmd_charge("--version") == f"deepmd-charge {wheel.name.split('-')[1]}\n"
    assert "Al32" in deepmd_charge("info", "CHGCAR.gz")
    deepmd_charge("convert", "CHGCAR.gz", "-o", "systems", "--points", "100", "--seed", "1")
    assert len([*empty.glob("systems/**/density.npy")]) == 1
    assert "c-si" in deepmd_charge("configure", "--list")
    deepmd_charge("configure", "systems", "-o", "input.json")
    modules = run(mine, "-c", IMPORTS, cwd=empty, **alone).splitlines()[-1].split()
    assert ("deepmd_charge.io.text._decimal" in modules) == compiled


if __name__ == "__main__":
    main()
