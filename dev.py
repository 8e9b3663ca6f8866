"""One door for everyone who works on loomwire. Standard library only; any Python from 3.11 on with pip runs it.

    python3 dev.py demo  [words for `loomwire demo`]
    python3 dev.py test  [words for pytest] [--full] [--no-skips]
    python3 dev.py check
    python3 dev.py bench [words for the benchmark]
    python3 dev.py soak  [names of soaks]
    python3 dev.py setup [--full]

`demo` needs the core requirements, everything else the development ones, `setup --full` adds what the full tests start:
real servers, a second watchdog, programs by apt. Pinned by hash, all goes into .venv, made or mended first when needed.
Without words, `test` runs lint, types, architecture, the default tests and the coverage gate; with words it is pytest
with these words. `--full` adds the tests marked `full`, looks deeper, and leaves lint and gate to the plain run.
`bench --peers` measures other libraries too, each in an environment of its own; `soak` without a name lists the soaks.
It may be started in any folder; paths in the words are read from the project's. `--help` after demo, test, bench, soak
asks the program behind it. Own words go to stderr. Exit codes: 0 fine, 1 failed, 2 wrong words, 130 Ctrl-C, and its.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Literal, NoReturn

Level = Literal["core", "dev", "full"]

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
PYTHON = BIN / ("python.exe" if os.name == "nt" else "python")
STAMP = VENV / "loomwire.stamp"
LOG = VENV / "install.log"
# Beside .venv and not in it, because making it anew empties it.
LOCK = ROOT / ".venv.lock"
REQUIREMENTS = ROOT / "requirements"
OLDEST = (3, 11)

FILES: Mapping[Level, tuple[str, ...]] = {
    "core": ("build.txt", "core.txt"),
    "dev": ("build.txt", "core.txt", "dev.txt"),
    "full": ("build.txt", "core.txt", "dev.txt", "full.txt"),
}
# A few modules of each level: enough to notice an environment that somebody emptied.
PROBES: Mapping[Level, tuple[str, ...]] = {
    "core": ("loomwire", "aiohttp", "dependency_injector", "pydantic_settings", "watchdog"),
    "dev": ("loomwire", "aiohttp", "watchdog", "mypy", "pyright", "pytest", "ruff", "importlinter"),
    "full": ("loomwire", "aiohttp", "watchdog", "mypy", "pytest", "xllamacpp"),
}
# The slow ones first, because two run at a time.
CHECKS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("mypy", (str(PYTHON), "-m", "mypy")),
    ("pyright", (str(PYTHON), "-m", "pyright")),
    ("ruff check", (str(PYTHON), "-m", "ruff", "check", "--quiet", "--output-format=concise", ".")),
    ("ruff format", (str(PYTHON), "-m", "ruff", "format", "--check", ".")),
    ("import-linter", (str(BIN / "lint-imports"), "--no-logo")),
)
# A second worker halves the default run once it takes more than a few seconds; more would only crowd a small machine.
WORKERS = ("-n2", "--dist=worksteal") if (os.cpu_count() or 1) > 1 else ()
# What would lead a child out of .venv, or keep it from finding what lies in the project's folder.
MISLEADING = {"PYTHONHOME", "PYTHONPATH", "PYTHONSAFEPATH", "PYTHONOPTIMIZE", "PIP_USER", "PIP_TARGET", "PIP_PREFIX"}
INNER_ROOMS = "src/loomwire/domain/*,src/loomwire/application/*"


def say(words: str) -> None:
    """Print one line of our own on stderr, in order with what the tools print on stdout."""
    sys.stdout.flush()
    print(f"dev.py: {words}", file=sys.stderr, flush=True)


def stop(words: str, code: int = 1) -> NoReturn:
    """End with one line that says what is wrong and what to do."""
    say(words)
    raise SystemExit(code)


def child_environment() -> dict[str, str]:
    """Return our environment with .venv in front, and without what would lead a child out of it."""
    env = {name: value for name, value in os.environ.items() if name not in MISLEADING}
    env["PATH"] = os.pathsep.join((str(BIN), env.get("PATH", "")))
    env["VIRTUAL_ENV"] = str(VENV)
    env["PYRIGHT_PYTHON_IGNORE_WARNINGS"] = "1"
    env |= {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1", "PIP_ROOT_USER_ACTION": "ignore"}
    if env.get("LOOMWIRE_WIRE_DIR"):
        # The caller's folder, while every child starts in ROOT.
        env["LOOMWIRE_WIRE_DIR"] = str(Path(env["LOOMWIRE_WIRE_DIR"]).resolve())
    return env


def run(command: Sequence[str]) -> int:
    """Run a command in the project's folder and return its exit code, 128 + n after signal n.

    Ctrl-C reaches the child too, which ends in its own way; we only wait for it.
    """
    sys.stdout.flush()
    with subprocess.Popen(command, cwd=ROOT, env=child_environment()) as child:
        while True:
            try:
                code = child.wait()
            except KeyboardInterrupt:
                continue
            return code if code >= 0 else 128 - code


def run_quietly(command: Sequence[str]) -> tuple[int, str]:
    """Run a command in the project's folder and return its exit code and everything it printed."""
    done = subprocess.run(
        command, cwd=ROOT, env=child_environment(), close_fds=False, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", errors="replace", check=False,
    )  # fmt: skip
    return done.returncode, done.stdout


def digest(level: Level) -> str:
    """Return what an installed level depends on as one word: its pins, the project's metadata, and where it lies."""
    import tomllib  # not at the top: an older Python shall reach the line that says it is too old

    try:
        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    except ValueError as error:
        stop(f"pyproject.toml cannot be read: {error}")
    metadata = [project["build-system"], project["project"], project["tool"]["hatch"]]
    text = hashlib.sha256(repr((str(ROOT), metadata)).encode())
    for name in FILES[level]:
        text.update((REQUIREMENTS / name).read_bytes())
    return text.hexdigest()[:16]


def stamps() -> set[str]:
    """Return the lines of the stamp: a level and its digest each, or `busy` while an install is under way."""
    try:
        return set(STAMP.read_text(encoding="utf-8").splitlines())
    except (OSError, ValueError):
        return set()


def python_finds(modules: Sequence[str]) -> bool:
    """Tell whether .venv's Python starts, is its own and new enough, and finds these modules (not: imports them)."""
    code = (
        "import os, sys, importlib.util as u; "
        f"ours = os.path.realpath(sys.prefix) == {str(VENV.resolve())!r} and sys.version_info >= {OLDEST}; "
        f"sys.exit(not (ours and all(map(u.find_spec, {tuple(modules)!r}))))"
    )
    try:
        return run_quietly((str(PYTHON), "-c", code))[0] == 0
    except OSError:
        return False


def base_python() -> str:
    """Return the Python that makes .venv and lends it pip: never .venv's own, which has none."""
    inside = Path(sys.prefix).resolve() == VENV.resolve()
    return str(getattr(sys, "_base_executable", sys.executable)) if inside else sys.executable


def make_venv() -> None:
    """Make .venv from nothing. Without pip: Debian ships Pythons that lack ensurepip."""
    if VENV.is_symlink() or VENV.is_file():
        VENV.unlink()
    code, output = run_quietly((base_python(), "-m", "venv", "--clear", "--without-pip", str(VENV)))
    if code:
        stop(f"could not make {VENV}: {last_line(output)}")


def last_line(output: str) -> str:
    """Return the line of a tool's output that most likely says what went wrong."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.lower().startswith("error")]
    return (errors or lines or ["it said nothing"])[-1]


def out_of_reach(output: str) -> bool:
    """Tell whether pip failed for want of a registry, which a new environment would not mend."""
    return "Could not find a version" in output or "No matching distribution" in output


def why_pip_failed(output: str) -> str:
    """Turn pip's failure into one line that says what to do."""
    if "No module named pip" in output:
        return "this Python has no pip; install it (Debian: apt install python3-pip) or put uv on PATH, then try again"
    if "no such option: --python" in output:
        return "this pip is too old; 22.3 or newer is needed: python3 -m pip install --upgrade pip"
    if "HASHES" in output:
        return f"a package is not the one that was pinned, nothing of it was installed; see {LOG}"
    if out_of_reach(output):
        return f"{last_line(output)}; is the network there, and does `pip config list` name a registry that has it?"
    return f"{last_line(output)} (everything pip said: {LOG})"


def installers() -> list[list[str]]:
    """Return the commands that can install into .venv, the fastest first. uv does not read pip's settings."""
    uv = shutil.which("uv")
    fast = [[uv, "pip", "install", "--quiet", "--python", str(PYTHON)]] if uv else []
    return [*fast, [base_python(), "-m", "pip", "--python", str(PYTHON), "install", "--quiet"]]


def install(level: Level) -> str | None:
    """Install a level and the project itself into .venv; return None, or what the installer said when it failed."""
    further = [name for name in FILES[level] if name not in FILES["core"]]
    rounds = [
        ["--require-hashes", *(f"-r{REQUIREMENTS / name}" for name in FILES["core"])],
        # After the build tools: one development package ships as source only.
        *(["--require-hashes", "--no-build-isolation", f"-r{REQUIREMENTS / name}"] for name in further),
        ["--no-deps", "--no-build-isolation", "-e", str(ROOT)],
    ]
    STAMP.write_text("busy\n", encoding="utf-8")
    for words in rounds:
        code, output = 1, ""
        for command in installers():
            code, output = run_quietly((*command, *words))
            with LOG.open("a", encoding="utf-8") as log:
                log.write(output)
            if code == 0:
                break
        if code:
            return output
    done = [name for name in FILES if set(FILES[name]) <= set(FILES[level])]
    STAMP.write_text("".join(f"{name} {digest(name)}\n" for name in done), encoding="utf-8")
    return None


def take(file: IO[str]) -> bool:
    """Lock an open file until it is closed or we end; return False when another process has it."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        # Anything else is a file system without locks: better unguarded than not at all.
        return error.errno not in {errno.EACCES, errno.EAGAIN}
    return True


def is_ready(level: Level) -> bool:
    """Tell whether .venv has this level as it is pinned now."""
    return f"{level} {digest(level)}" in stamps() and python_finds(PROBES[level])


def ensure(level: Level) -> None:
    """Leave with a .venv that has this level, instantly when it has it already; one dev.py at a time changes it."""
    if is_ready(level):
        return
    with LOCK.open("w", encoding="utf-8") as file:
        if not take(file):
            say("another dev.py is installing into .venv; waiting for it ...")
            while not take(file):
                time.sleep(0.1)
        # For the installers: one that outlives a killed dev.py still keeps others out.
        os.set_inheritable(file.fileno(), True)  # noqa: FBT003
        if not is_ready(level):
            renew(level)


def renew(level: Level) -> None:
    """Bring .venv to this level.

    An environment that is merely behind is brought up to date in place; one without a working Python, or whose last
    install was cut short, is made anew. Without a registry a working environment is left as it is.
    """
    began = time.monotonic()
    fresh = "busy" in stamps() or not python_finds(())
    say(f"installing the {level} requirements into .venv, which takes a minute the first time ...")
    if fresh:
        make_venv()
    LOG.unlink(missing_ok=True)
    output = install(level)
    if output is not None and not fresh:
        if out_of_reach(output):
            STAMP.unlink()
            stop(why_pip_failed(output))
        make_venv()
        output = install(level)
    if output is not None:
        stop(why_pip_failed(output))
    say(f"installed in {time.monotonic() - began:.0f} s")


def run_check(name: str, command: Sequence[str]) -> tuple[str, int, str, float]:
    """Run one tool and return its name, exit code, output and seconds."""
    began = time.monotonic()
    code, output = run_quietly(command)
    return name, code, output, time.monotonic() - began


def check(words: Sequence[str] = ()) -> int:
    """Run lint, format, types and architecture, all of them whatever fails; return 1 if any did."""
    if words:
        stop(f"check takes no words, not {' '.join(words)}", 2)
    ensure("dev")
    failed = 0
    with ThreadPoolExecutor(max_workers=2) as pool:
        for name, code, output, seconds in pool.map(lambda item: run_check(*item), CHECKS):
            say(f"{name}: {'ok' if code == 0 else 'FAILED'} ({seconds:.1f} s)")
            if code:
                failed = 1
                print(output.rstrip(), flush=True)
    return failed


def pytest(*words: str) -> int:
    """Run pytest with these words and return its exit code."""
    return run((str(PYTHON), "-m", "pytest", *words))


def coverage_gate() -> int:
    """Judge the coverage data of the run before: 95 % of all branches, 100 % of domain and application."""
    report = (str(PYTHON), "-m", "coverage", "report")
    overall = run(report)
    inner = run((*report, f"--include={INNER_ROOMS}", "--fail-under=100"))
    if overall or inner:
        say("coverage: FAILED; domain/ and application/ need 100 %, everything together 95 %, branches counted")
    return overall or inner


def default_tests(flags: Sequence[str]) -> int:
    """Run check, the default tests and the coverage gate; return the first exit code that is not 0.

    The recordings lie outside the repository, so the tests that read them run apart and count for no coverage.
    """
    codes = [check()]
    codes.append(pytest("--ignore=tests/wire", "--cov", "--cov-report=", "--cov-fail-under=0", *WORKERS, *flags))
    codes.append(coverage_gate())
    if (ROOT / "tests" / "wire").is_dir():
        say("the recorded exchanges, outside the coverage gate:")
        codes.append(pytest("tests/wire", *flags))
    return next((code for code in codes if code), 0)


def test(words: Sequence[str]) -> int:
    """Run the tests: everything by default, one pytest run when there are words or --full."""
    ensure("dev")
    flags = [word for word in words if word in {"--full", "--no-skips"}]
    chosen = [word for word in words if word not in flags]
    if chosen or "--full" in flags:
        return pytest(*flags, *chosen)
    return default_tests(flags)


def demo(words: Sequence[str]) -> int:
    """Run the main job on the embedded default: no key and, after the install, no network."""
    ensure("core")
    return run((str(PYTHON), "-m", "loomwire", "demo", *words))


def bench(words: Sequence[str]) -> int:
    """Run the benchmark and compare its ratios with the committed baseline."""
    ensure("dev")
    return run((str(PYTHON), "-m", "benchmarks", *words))


def setup(words: Sequence[str]) -> int:
    """Install what the tests need; with --full also what the full tier needs."""
    if set(words) - {"--full"}:
        stop(f"setup knows --full only, not {' '.join(words)}", 2)
    ensure("full" if words else "dev")
    say(f"the development requirements{' and the llama.cpp server' if words else ''} are in .venv")
    tools = ("tools/second_watchdog.py", "tools/system_packages.py") if words else ()
    return max((run((str(PYTHON), tool)) for tool in tools), default=0)


COMMANDS: Mapping[str, Callable[[Sequence[str]], int]] = {
    "demo": demo, "test": test, "check": check, "bench": bench, "setup": setup, "soak": lambda w: bench(("soak", *w)),
}  # fmt: skip


def main(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code."""
    if sys.version_info < OLDEST:
        have = ".".join(map(str, sys.version_info[:2]))
        stop(f"loomwire needs Python 3.11 or newer, this is {have}; start it with one: python3.11 dev.py ...", 2)
    command, words = (arguments[0], arguments[1:]) if arguments else ("", ())
    asks = {"-h", "--help"}
    if command in {*asks, "help"} or (command in {"check", "setup"} and asks & {*words}):
        print((__doc__ or "").rstrip())
        return 0
    if command not in COMMANDS:
        wrong = f"there is no command {command!r}; " if command else ""
        stop(f"{wrong}say one of {', '.join(COMMANDS)} (python3 dev.py --help tells more)", 2)
    return COMMANDS[command](words)


if __name__ == "__main__":
    try:
        raise SystemExit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except OSError as error:
        stop(f"{error.strerror}: {error.filename}" if error.filename else str(error))
